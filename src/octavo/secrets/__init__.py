"""Secrets in the records: whether each can be opened, and a new pepper for all of them."""

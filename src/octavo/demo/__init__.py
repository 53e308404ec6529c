"""Sample data that looks real, and the whole migration run on it."""

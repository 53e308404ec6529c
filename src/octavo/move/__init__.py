"""The life of a move: verify, cutover, rollback, cleanup, and the status between them."""

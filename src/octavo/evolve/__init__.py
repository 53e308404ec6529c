"""A store's way from its schema to the next one, and back: ``octavo schema migrate``."""

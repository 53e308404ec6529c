"""Octavo folds the PostgreSQL database of a Prisma application into plain JSON files, and back."""

__version__ = "0.1.0"

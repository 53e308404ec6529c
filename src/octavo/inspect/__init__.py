"""Looking at a data folder: what is in it, whether it is sound, and what can be repaired without loss."""

"""The move: inventory, scaffold, export, verify, restore."""

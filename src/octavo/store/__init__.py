"""Plain files, safely.  Knows files and records, but no model by name."""

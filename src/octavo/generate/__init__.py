"""The typed client of any schema, as a Python package: its stub, its files, and what it does at run time."""

"""A plan as SQL: columns, conditions, queries, writes.  Values are parameters, always; names are quoted."""

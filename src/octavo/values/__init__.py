"""What a column of each type holds: in SQL, in JSON, in memory and in Python."""

"""Files that follow PostgreSQL: every transaction that others commit there is carried over, from the very
snapshot that the files were made of, by logical replication.

``life`` is what a command calls: begin, go on, catch up, stop.  ``protocol`` understands what PostgreSQL
sends, ``stream`` is the connection that it comes by, ``slot`` is what has to be made in the database and
removed again, and ``apply`` brings what transactions come to into the store.
"""

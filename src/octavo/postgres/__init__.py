"""PostgreSQL as Octavo uses it: the URL, connections, snapshots, the embedded server."""

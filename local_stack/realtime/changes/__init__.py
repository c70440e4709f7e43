"""Changes of tables and broadcasts from SQL, read from a logical replication stream."""

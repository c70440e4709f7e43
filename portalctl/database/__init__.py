"""What the command line does with a database: migrations, security snapshots, drift and reports."""

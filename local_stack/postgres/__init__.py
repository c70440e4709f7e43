"""PostgreSQL for the local stack: binaries, cluster, platform SQL and migrations."""

"""PostgreSQL: a pool of connections, and what a hosted server wants."""

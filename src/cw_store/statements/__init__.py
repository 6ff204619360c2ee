"""What a repository calls: statements written once, compiled for a database, run, and read."""

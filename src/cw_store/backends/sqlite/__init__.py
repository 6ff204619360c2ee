"""SQLite: one connection that writes, several that read, all in threads of their own."""

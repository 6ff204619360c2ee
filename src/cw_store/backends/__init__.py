"""What is different between databases: connections, turns, transactions, errors."""

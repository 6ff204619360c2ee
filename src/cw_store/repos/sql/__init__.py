"""The repositories in SQL: one module for each, and what several of them share."""

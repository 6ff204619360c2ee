"""Expense reports, checked by programs, and by a person where a program is not sure."""

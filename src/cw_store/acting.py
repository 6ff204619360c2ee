"""What a person does to a store, each one unit of work that changes what was seen, or nothing.

The command line and the page do it here, so that both do the same.
"""

"""A thread that does jobs for an event loop, and what waits for them."""

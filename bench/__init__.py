"""The same work done by cw_store and by what people use instead; `python -m bench --help`."""

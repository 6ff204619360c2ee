"""Browsers that watch agents at work: logs and changes as server-sent events; see `app.py`."""

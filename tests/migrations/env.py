"""Runs the library's own env.py, with a folder of versions that goes on where it ends."""

from pathlib import Path

exec(compile((Path(__file__).parents[2] / "alembic" / "env.py").read_text(), "env.py", "exec"))

"""A small supervisor on cw_store: it runs the tasks of a plan as agents, to the end.

Everything it knows is in the store, so it may be stopped at any moment, in any way, and the next
run goes on; several may share the work. Read `supervisor.py` first, then `plan.py`; README.md
tells how to run it.
"""

"""The screens: each reads a store and returns the page that is to be seen.

`async def now(source, viewer, …) -> Page`, on `cw_store.views`: one snapshot, a store's own or the
unit of work that is given.
"""

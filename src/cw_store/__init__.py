"""An async store for programs that supervise many coding agents.

    from cw_store import UnitOfWork

    async with UnitOfWork() as uow:
        initiative = await uow.initiatives.create(name="User auth")

What stands in `__all__` is public; everything else may change.
"""

__version__ = "0.1.0"

# As type checkers know it; to import `typing` takes a third of the time of an empty Python.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from cw_store.public import *  # noqa: F403 -- for type checkers: all of its __all__
    from cw_store.public import __all__ as __all__
else:

    def __getattr__(name):
        """Load all that is public when any of it is first asked for."""
        known = globals()
        if not name.startswith("__") or name == "__all__":
            import importlib

            public = importlib.import_module("cw_store.public")
            known.update({each: getattr(public, each) for each in ("__all__", *public.__all__)})
        if name in known:  # also a module of the package, once it was loaded
            return known[name]
        raise AttributeError(f"module 'cw_store' has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__getattr__("__all__")})

"""A page on which somebody sees agents at work; mountable, and what `cw-store live` serves.

    from cw_store import Store
    from cw_store.live import application

    app.mount("/agents", application(store, access=access_of))

Installed by the extra `live`. It stands on what `cw_store` and `cw_store.views` export. What stands
in `__all__` is public; each is loaded at its first use, since drawings need no server.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cw_store.live.asgi import application
    from cw_store.live.drawings import graph_file, graph_svg, timeline_file, timeline_svg
    from cw_store.live.pages import Access
    from cw_store.live.reports import (
        Report,
        graph_page,
        read_report,
        report_page,
        timeline_page,
    )
    from cw_store.live.server import LivePageServer, serving

__all__ = [
    "application",
    "Access",
    "serving",
    "LivePageServer",
    "graph_svg",
    "graph_file",
    "timeline_svg",
    "timeline_file",
    "Report",
    "read_report",
    "report_page",
    "graph_page",
    "timeline_page",
]

_HOMES = {
    "application": "asgi",
    "Access": "pages",
    "serving": "server",
    "LivePageServer": "server",
    "graph_svg": "drawings",
    "graph_file": "drawings",
    "timeline_svg": "drawings",
    "timeline_file": "drawings",
    "Report": "reports",
    "read_report": "reports",
    "report_page": "reports",
    "graph_page": "reports",
    "timeline_page": "reports",
}


def __getattr__(name: str) -> object:
    """Load what is public when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'cw_store.live' has no attribute {name!r}")
    found: object = getattr(import_module(f"cw_store.live.{_HOMES[name]}"), name)
    globals()[name] = found
    return found

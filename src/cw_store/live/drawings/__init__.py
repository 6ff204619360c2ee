"""Graphs and timelines as SVG: elements for a page, whose colours are its own, and whole files."""

from cw_store.live.drawings.graph import graph_file, graph_svg
from cw_store.live.drawings.timeline import timeline_file, timeline_svg

__all__ = ["graph_file", "graph_svg", "timeline_file", "timeline_svg"]

"""Graphs and timelines as SVG."""

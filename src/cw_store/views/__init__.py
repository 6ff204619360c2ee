"""What people look at: frozen records of one snapshot each, read through the public interface.

The command line, a page and a program of one's own show the same.
"""

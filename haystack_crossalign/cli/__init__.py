"""The command line: one command per file, which parses, calls and prints.

Its modules import nothing heavy at the top level, so that help and usage errors appear at once.
"""

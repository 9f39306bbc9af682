"""Requests for audits of files and of an index, for both the command line and Python."""

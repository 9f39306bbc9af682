"""Judged collections: queries with a language, documents with a language, and which of them belong together."""

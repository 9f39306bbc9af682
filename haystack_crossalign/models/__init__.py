"""Embedding models: loading them, embedding with them, and a copy of one that needs no hub."""

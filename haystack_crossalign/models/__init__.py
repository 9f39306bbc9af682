"""Embedding models: loading, embedding, and a bundled copy of a model that needs no hub."""

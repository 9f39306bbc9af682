"""Haystack pipelines in YAML, used as embedders and as retrievers."""

"""Batches of triplets: distinct keys, rows per language, packed sequences."""

"""Repair without training: the directions in which languages differ, taken out of the embeddings."""

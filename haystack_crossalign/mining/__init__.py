"""Parallel pairs and triplets found in text that nobody aligned."""

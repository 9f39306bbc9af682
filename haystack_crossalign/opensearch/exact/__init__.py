"""Exact ranks in an index, counted or estimated on the cluster."""

"""Exact ranks counted here: a pool's vectors are read once, and the server settles what lies within its rounding."""

"""The training losses and their common parts."""

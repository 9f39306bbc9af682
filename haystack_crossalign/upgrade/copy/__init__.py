"""Documents on their way from the old index to the new one, and their comparison."""

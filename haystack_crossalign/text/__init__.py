"""Text: its language, whether it is prose, and its sentences."""

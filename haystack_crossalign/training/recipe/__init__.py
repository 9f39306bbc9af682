"""Training recipes: their settings, and how to read one."""

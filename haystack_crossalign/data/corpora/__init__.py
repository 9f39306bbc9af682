"""Published corpora by name: where each is found, and readers for the layouts in which they are published."""

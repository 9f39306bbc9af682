"""Published corpora by name: where to get them, and readers for their published layouts."""

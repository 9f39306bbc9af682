"""Check that a model matches an index: by its description in the index, else by embedding a few documents again."""

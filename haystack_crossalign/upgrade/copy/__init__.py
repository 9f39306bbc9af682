"""Copy documents from the old index to the new one, and compare them."""

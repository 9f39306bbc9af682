"""File formats, one per module: JSON Lines, TREC, BEIR, Search Relevance Workbench, triplets."""

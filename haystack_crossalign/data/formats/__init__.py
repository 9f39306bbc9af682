"""One file format a file: JSON lines, TREC, BEIR, Search Relevance Workbench, triplets."""

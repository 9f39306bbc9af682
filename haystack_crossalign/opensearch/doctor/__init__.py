"""What `crossalign doctor` finds in a cluster and an index."""

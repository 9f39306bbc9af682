"""The only client that writes to a cluster, and its allowed writes."""

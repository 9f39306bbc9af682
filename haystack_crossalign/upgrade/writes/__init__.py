"""The only client that writes to a cluster, and what it may write."""

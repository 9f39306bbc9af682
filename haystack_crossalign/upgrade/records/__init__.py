"""What an upgrade remembers in the cluster, and who works on it."""

"""Records of upgrades in the cluster, and leases of the processes that work on them."""

"""What several commands share: options, output files, sessions with a cluster, progress."""

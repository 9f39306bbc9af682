"""Common parts of commands: options, output files, sessions with a cluster, progress."""

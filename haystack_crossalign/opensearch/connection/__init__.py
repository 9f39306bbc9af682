"""Connections to a cluster: settings, credentials, and a client that can only read."""

"""What an index holds: its fields, pool, parallel groups and state."""

"""The upgrade of a running index to other vectors: plan, copy, catch up, verify, gate, switch, and rollback."""

"""The two indices of an upgrade: what lies in the old one, and what the new one takes over."""

"""The two indices of an upgrade: the content of the old one, and what the new one takes over."""

"""The training losses and what they share."""

"""What a result means and what to do next."""

"""Building and filtering training triplets."""

"""Mining of parallel pairs and triplets in text that is not aligned."""

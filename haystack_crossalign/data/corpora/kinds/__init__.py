"""What several corpora have in common: parallel questions, ranked passages, translated sentences."""

"""Kinds of corpora: parallel questions, ranked passages, translated sentences."""

"""The tiny model and batches for it."""

from model_fixtures import _one_thread, make_texts, tiny_model, tiny_model_folder

__all__ = ["_one_thread", "make_texts", "tiny_model", "tiny_model_folder"]

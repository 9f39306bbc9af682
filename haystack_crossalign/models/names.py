"""Names of models, alone so that the command line knows them without loading what loads models."""

from __future__ import annotations

__all__ = ["DEFAULT_MODEL", "MATRIX_FILE", "OFFLINE_MODELS", "OFFLINE_PREFIX"]

DEFAULT_MODEL = "intfloat/multilingual-e5-small"
OFFLINE_PREFIX = "offline:"
OFFLINE_MODELS = ("offline:multilingual-e5-small",)
MATRIX_FILE = "matrix.safetensors"
"""Beside the weights of a repaired model, and none of them: the matrix that moves vectors of its base model."""

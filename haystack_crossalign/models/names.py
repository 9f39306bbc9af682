"""Names of models, alone so that the command line knows them without loading what loads models."""

from __future__ import annotations

__all__ = ["DEFAULT_MODEL", "OFFLINE_MODELS", "OFFLINE_PREFIX"]

DEFAULT_MODEL = "intfloat/multilingual-e5-small"
OFFLINE_PREFIX = "offline:"
OFFLINE_MODELS = ("offline:multilingual-e5-small",)

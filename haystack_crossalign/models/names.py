"""Names of models, alone so that the command line knows them without loading what loads models."""

from __future__ import annotations

from pathlib import Path

DEFAULT_MODEL = "intfloat/multilingual-e5-small"
OFFLINE_PREFIX = "offline:"
POOLINGS = ("mean", "cls", "lasttoken")
OFFLINE_MODELS = ("offline:multilingual-e5-small",)
MATRIX_FILE = "matrix.safetensors"
"""Beside the weights of a repaired model, and none of them: the matrix that moves vectors of its base model."""


def model_beside(name: str, folder: Path) -> str:
    """The model that a file names: the folder of that name beside the file if there is one, else the name itself.

    :param name: hub name, folder, or ``offline:…``.
    :param folder: the folder of the file.
    """
    if name and not name.startswith(OFFLINE_PREFIX) and (path := folder / Path(name).expanduser()).is_dir():
        return str(path.resolve())
    return name

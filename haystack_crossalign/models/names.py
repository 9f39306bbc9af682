"""Names of models, in a separate module so that the command line can import them without the code that loads models."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from haystack_crossalign.files.paths import expanded

DEFAULT_MODEL = "intfloat/multilingual-e5-small"
OFFLINE_PREFIX = "offline:"
CLUSTER_PREFIX = "cluster:"
"""Before the id of a model that an OpenSearch cluster runs."""

BACKENDS = ("torch", "openvino")
POOLINGS = ("mean", "cls", "lasttoken")
PoolingSource = Literal["model", "option", "default"]
OFFLINE_MODELS = ("offline:multilingual-e5-small",)
MATRIX_FILE = "matrix.safetensors"
"""File of a repaired model that is not part of its weights: the matrix that transforms vectors of its base model."""


def model_beside(name: str, folder: Path) -> str:
    """Resolve a model name in a file: a folder of that name next to the file if it exists, else the name itself.

    :param name: hub name, folder, or ``offline:…``.
    :param folder: the folder of the file.
    """
    if name and not name.startswith(OFFLINE_PREFIX) and (path := folder / expanded(name, field="model")).is_dir():
        return str(path.resolve())
    return name

"""A repaired model as a stock sentence-transformers folder."""

from __future__ import annotations

from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.training.affine import AffineMap

__all__ = ["repaired_model", "write_repaired_model"]


def repaired_model(model: SentenceTransformer, repair: AffineMap) -> SentenceTransformer:
    """The base model followed by Normalize, Dense without activation, and Normalize.

    The modules of the base model are shared, not copied; its prompts and similarity are kept (which must be the cosine
    or the dot product: the result is of unit length, where both are the same).

    :param model: the base model.
    :param repair: a map of the model's dimension.
    :raises InputError: when the dimension differs, or the model truncates its embeddings or compares them by distance.
    """
    dimension = model.get_embedding_dimension()
    if dimension != repair.dimension or model.truncate_dim is not None:
        raise InputError(
            "the map must have the dimension of the model, whose embeddings must not be truncated",
            field="repair",
            seen=repair.dimension,
            allowed=str(dimension),
        )
    if model.similarity_fn_name not in (None, "cosine", "dot"):
        raise InputError(
            "a repaired model compares by cosine", field="model", seen=model.similarity_fn_name, allowed="cosine, dot"
        )
    modules = list(model.children())
    if not isinstance(modules[-1], Normalize):
        modules.append(Normalize())
    dense = Dense(
        dimension,
        dimension,
        activation_function=None,
        init_weight=torch.from_numpy(repair.matrix.copy()),
        init_bias=torch.from_numpy(repair.bias.copy()),
    )
    dense.to(device=model.device, dtype=model.dtype)
    repaired = SentenceTransformer(
        modules=[*modules, dense, Normalize()],
        device=str(model.device),
        prompts={name: prompt for name, prompt in model.prompts.items() if prompt is not None},
        default_prompt_name=model.default_prompt_name,
        similarity_fn_name=model.similarity_fn_name,
    )
    repaired.max_seq_length = model.max_seq_length
    return repaired


def write_repaired_model(model: SentenceTransformer, repair: AffineMap, folder: Path | str) -> None:
    """Save :func:`repaired_model`: safetensors and stock modules only, loadable without this package.

    :param model: the base model.
    :param repair: a map of the model's dimension.
    :param folder: new or empty folder.
    :raises InputError: as :func:`repaired_model`, and when the folder holds something.
    :raises ExternalError: when it cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError("the output folder must be new or empty", source=folder)
    repaired = repaired_model(model, repair)
    try:
        repaired.save(str(folder), safe_serialization=True)
    except OSError as error:
        raise ExternalError(f"{folder}: cannot be written: {error}") from error

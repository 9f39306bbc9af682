"""A repaired model as a stock sentence-transformers folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.repair.affine import AffineMap, check_lengths
from haystack_crossalign.repair.matrix_file import VectorMap


def repaired_model(model: SentenceTransformer, repair: VectorMap) -> SentenceTransformer:
    """The base model followed by Normalize, Dense without activation, and Normalize; three Dense with ReLU between them
    for a map per language.

    The modules of the base model are shared, not copied; its prompts and similarity are kept.

    :param model: the base model.
    :param repair: a map of the model's dimension.
    :raises InputError: if the dimension differs or the model truncates its embeddings; also as `check_lengths`.
    """
    dimension = model.get_embedding_dimension()
    if dimension != repair.dimension or model.truncate_dim is not None:
        raise InputError(
            "the map must have the dimension of the model, whose embeddings must not be truncated",
            field="repair",
            seen=repair.dimension,
            allowed=str(dimension),
        )
    modules = list(model.children())
    check_lengths(model.similarity_fn_name, unit=isinstance(modules[-1], Normalize))
    if not isinstance(modules[-1], Normalize):
        modules.append(Normalize())
    return _followed_by(modules, repair, model)


def with_map(model: SentenceTransformer, repair: VectorMap) -> SentenceTransformer:
    """Replace the map at the end of a repaired model; the modules before it are shared.

    :param model: from :func:`repaired_model`, with one map for all languages.
    :param repair: of the model's dimension.
    """
    return _followed_by(list(model.children())[:-2], repair, model)


def _followed_by(modules: list[torch.nn.Module], repair: VectorMap, model: SentenceTransformer) -> SentenceTransformer:
    """A model of modules that end with Normalize, followed by the map, with the settings of another model."""
    dense = [_dense(weight, bias, activated=more) for weight, bias, more in _layers(repair)]
    for module in dense:
        module.to(device=model.device, dtype=model.dtype)
    repaired = SentenceTransformer(
        modules=[*modules, *dense, Normalize()],
        device=str(model.device),
        prompts={name: prompt for name, prompt in model.prompts.items() if prompt is not None},
        default_prompt_name=model.default_prompt_name,
        similarity_fn_name=model.similarity_fn_name,
    )
    repaired.max_seq_length = model.max_seq_length
    return repaired


def _layers(repair: VectorMap) -> list[tuple[NDArray[np.float32], NDArray[np.float32], bool]]:
    """Weight and bias of each linear layer, and whether ReLU follows."""
    if isinstance(repair, AffineMap):
        return [(repair.matrix, repair.bias, False)]
    layers = repair.layers()
    return [(weight, bias, number < len(layers)) for number, (weight, bias) in enumerate(layers, 1)]


def _dense(weight: NDArray[np.float32], bias: NDArray[np.float32], *, activated: bool) -> Dense:
    return Dense(
        weight.shape[1],
        weight.shape[0],
        activation_function=torch.nn.ReLU() if activated else None,
        init_weight=torch.from_numpy(np.ascontiguousarray(weight)),
        init_bias=torch.from_numpy(bias.copy()),
    )


def write_repaired_model(model: SentenceTransformer, repair: VectorMap, folder: Path | str) -> None:
    """Save :func:`repaired_model`: safetensors and stock modules only, loadable without this package.

    :param model: the base model.
    :param repair: a map of the model's dimension.
    :param folder: new or empty folder.
    :raises InputError: as :func:`repaired_model`; also if the folder is not empty.
    :raises ExternalError: if it cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError("the output folder must be new or empty", source=folder)
    repaired = repaired_model(model, repair)
    try:
        repaired.save(str(folder), safe_serialization=True)
    except (OSError, SafetensorError) as error:  # a full disk is a SafetensorError
        raise ExternalError(f"{folder}: cannot be written: {error}") from error

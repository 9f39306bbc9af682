"""Write a repair as a folder: model, matrix file, audits and the reasons for the choice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from haystack_crossalign._version import __version__
from haystack_crossalign.audit.result import rounded
from haystack_crossalign.errors import ExternalError
from haystack_crossalign.files.reading import Source
from haystack_crossalign.files.writing import new_folder, write_atomically
from haystack_crossalign.models.names import MATRIX_FILE
from haystack_crossalign.models.quiet import announced, quiet_libraries
from haystack_crossalign.repair.affine import AffineMap
from haystack_crossalign.repair.card import repair_card
from haystack_crossalign.repair.fit import RepairOutcome
from haystack_crossalign.repair.language_maps import describe_map
from haystack_crossalign.repair.matrix_file import write_matrix_file
from haystack_crossalign.report.pages import comparison_pages
from haystack_crossalign.schemas import shipped_schema

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from haystack_crossalign.models.prompts import Prompts
    from haystack_crossalign.ranks import Similarity

SCHEMA = "crossalign.repair/1"
RESULT_FILE = "repair.json"

_LEAST_COSINE = 0.99
"""Minimum cosine between the written folder's vectors in float32 and those of the map, which may come from bf16."""


@dataclass(frozen=True)
class ModelToRepair:
    """The base model in float32, in which it is written.

    :param model: the model, with its prompts.
    :param name: its name, without the location of a folder.
    :param hub_name: its name on the hub, None for a folder.
    :param trust_remote_code: whether its code may run when the written folder is checked.
    """

    model: SentenceTransformer
    name: str
    hub_name: str | None = None
    trust_remote_code: bool = False


def open_model(
    name: str,
    prompts: Prompts,
    *,
    revision: str | None = None,
    similarity: Similarity | None = None,
    pooling: str | None = None,
    trust_remote_code: bool = False,
) -> ModelToRepair:
    """Load the base model, and reject one that cannot be repaired before any text is embedded.

    :param name: hub name, folder, or ``offline:multilingual-e5-small``.
    :param prompts: its prompts. They are written to the folder, since prompts of some models are known only by the
        model's name, which the repaired model does not have.
    :param revision: branch, tag or commit on the hub.
    :param similarity: similarity to use instead of the model's; written to the folder.
    :param pooling: for a model without modules.json; written to the folder.
    :param trust_remote_code: run code that comes with the model.
    :raises InputError: as :func:`~haystack_crossalign.repair.model_folder.repaired_model`.
    :raises ExternalError: if it cannot be loaded.
    """
    import torch

    from haystack_crossalign.models.loading import LoadOptions, load_model
    from haystack_crossalign.models.offline import is_offline
    from haystack_crossalign.repair.model_folder import repaired_model

    options = LoadOptions(revision, trust_remote_code=trust_remote_code, pooling=pooling)
    loaded = load_model(name, device="cpu", dtype=torch.float32, options=options)
    model = loaded.model
    if prompts.query or prompts.document:
        model.prompts = {**model.prompts, "query": prompts.query, "document": prompts.document}
    if similarity is not None:
        model.similarity_fn_name = similarity
    dimension = int(model.get_embedding_dimension() or 0)
    repaired_model(model, AffineMap(np.eye(dimension, dtype=np.float32), np.zeros(dimension, np.float32)))
    # The location of a folder is private; an offline model has the name that the user gives.
    called = name if is_offline(name) else loaded.name
    return ModelToRepair(model, called, loaded.hub_name, trust_remote_code)


def write_repair(
    outcome: RepairOutcome,
    folder: Path | str,
    *,
    model: ModelToRepair | None,
    sources: Sequence[Source] = (),
    texts: bool = True,
) -> RepairOutcome:
    """Write the folder, completely or not at all.

    It is a stock sentence-transformers folder with a model card, and also contains ``matrix.safetensors``,
    ``repair.json``, ``before.json``, ``after.json``, ``comparison.json`` and the report.

    :param outcome: result of `fit_repair`.
    :param folder: the folder to create.
    :param model: the base model; None to write the matrix file without a model.
    :param sources: the files that were read.
    :param texts: whether audits and pages may contain texts of documents and queries.
    :returns: the outcome, with audits that name the written model.
    :raises InputError: if the folder already exists.
    :raises ExternalError: if it cannot be written, or the written model does not give the repaired vectors.
    """
    with new_folder(folder, source="--output") as place:
        if model is not None:
            outcome = _write_model(outcome, model, place)
        write_matrix_file(outcome.repair, place / MATRIX_FILE, base=outcome.before.provenance["model"])
        if not texts:
            outcome = replace(outcome, before=outcome.before.without_texts(), after=outcome.after.without_texts())
        data = repair_data(outcome, sources, name=None if model is None else model.name)
        files = {
            RESULT_FILE: json.dumps(data, ensure_ascii=False, allow_nan=False, indent=1) + "\n",
            "before.json": outcome.before.to_json(),
            "after.json": outcome.after.to_json(),
            "comparison.json": outcome.comparison.to_json(),
            **comparison_pages(
                outcome.comparison.to_dict(),
                outcome.before.to_dict(),
                outcome.after.to_dict(),
                dial=data["dial"],
                change=f"The repair: {describe_map(data['chosen'])}." if outcome.choice.chosen.changes else None,
            ),
        }
        if model is not None:
            files["README.md"] = repair_card(data, model.name, model.hub_name)
        for name, text in files.items():
            write_atomically(place / name, text)
    return outcome


def repair_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of ``repair.json``."""
    return shipped_schema("repair-1.schema.json")


def repair_data(outcome: RepairOutcome, sources: Sequence[Source], *, name: str | None) -> dict[str, Any]:
    """Content of ``repair.json``, with rounded floats; see ``repair-1.schema.json``.

    :param outcome: what `fit_repair` gave.
    :param sources: the files that were read.
    :param name: name of the base model, None if only the matrix is written.
    """
    sample, chosen = outcome.sample, outcome.choice.chosen
    held_out = sorted({document.language for document in sample.held_out})
    data: dict[str, Any] = rounded(
        {
            "schema": SCHEMA,
            "tool": {"name": "haystack-crossalign", "version": __version__},
            "model": outcome.before.provenance["model"],
            "model_written": name is not None,
            "matrix_file": MATRIX_FILE,
            "data": [{"name": source.name, "sha256": source.sha256} for source in sources],
            "fitted_on": dict(zip(outcome.fitted.languages, outcome.fitted.counts, strict=True)),
            "directions": len(outcome.fitted.basis),
            "held_out": {
                "documents": {tag: sum(document.language == tag for document in sample.held_out) for tag in held_out},
                "queries": sample.kinds(),
                "parallel": sample.parallel,
            },
            "similarity": outcome.before.provenance["similarity"],
            "criterion": outcome.criterion,
            "keep_own_first": outcome.keep_own_first,
            "chosen": chosen.setting,
            "trials": [
                {
                    **trial.setting,
                    "bias": trial.score.bias,
                    "quality": dict(sorted(trial.score.quality.items())),
                    "own_first": None if trial.score.own_first is None else dict(sorted(trial.score.own_first.items())),
                    "harmless": trial.harmless,
                }
                for trial in outcome.choice.trials
            ],
            "same_language": [
                {
                    "language": change.language,
                    "measure": "NDCG@1",
                    "queries": change.queries,
                    "before": change.before,
                    "after": change.after,
                    "difference": change.difference,
                    "interval": list(change.interval),
                    "verdict": change.verdict,
                }
                for change in outcome.harm
            ],
            "dial": None if outcome.dial is None else outcome.dial.to_dict(),
            "other_languages": {
                "languages": list(outcome.fitted.others),
                "unknown": list(outcome.unknown),
                "left_out": [
                    {
                        "language": one.language,
                        "measure": one.measure,
                        "queries": one.queries,
                        "before": one.before,
                        "after": one.after,
                        "p_value": one.p_value,
                        "worse": one.worse,
                    }
                    for one in outcome.left_out
                ],
            },
            "notes": list(outcome.notes),
        }
    )
    return data


def _write_model(outcome: RepairOutcome, model: ModelToRepair, folder: Path) -> RepairOutcome:
    from haystack_crossalign.models.encoder import Encoder
    from haystack_crossalign.repair.model_folder import write_repaired_model

    with quiet_libraries():
        write_repaired_model(model.model, outcome.repair, folder)
    # Cut as in the audit; the folder itself keeps the limit of the model.
    limit = outcome.before.provenance["model"].get("max_tokens")
    # Not by the name of the temporary folder that it lies in as yet.
    with announced("Checking the repaired model"):
        written = Encoder(
            str(folder), device="cpu", precision="fp32", max_tokens=limit, trust_remote_code=model.trust_remote_code
        )
    texts = [document.text for document in outcome.sample.held_out[: len(outcome.probe_vectors)]]
    again, wanted = written.encode_documents(texts), outcome.repair.apply(outcome.probe_vectors)
    cosine = float((again * wanted).sum(axis=1).min())
    if not cosine >= _LEAST_COSINE:
        raise ExternalError(
            f"the written model does not give the repaired vectors (cosine {cosine:.4f}); the model may compute its "
            "embeddings in a way that a linear layer after it does not see. Take the matrix alone: --matrix-only"
        )
    provenance = {**outcome.after.provenance}
    kept = {name: provenance["model"].get(name) for name in ("precision", "max_tokens", "cut_texts")}
    # The vectors were transformed, not computed again, so they have the precision and the limit of the audit before.
    provenance["model"] = {**written.provenance(), **kept, "name": f"{model.name}, repaired"}
    after = replace(outcome.after, provenance=provenance)
    return replace(outcome, after=after, comparison=replace(outcome.comparison, b=provenance))

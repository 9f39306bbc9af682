"""Write the folder of a finished run: the model, ``training.json``, the model card and the report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from safetensors import SafetensorError

from haystack_crossalign.audit.provenance import build_provenance
from haystack_crossalign.files.digests import file_sha256
from haystack_crossalign.files.writing import write_atomically
from haystack_crossalign.models.names import MATRIX_FILE
from haystack_crossalign.repair.matrix_file import VectorMap, write_matrix_file
from haystack_crossalign.report.training_html import render_training_html
from haystack_crossalign.training.batches.packing import TextTable
from haystack_crossalign.training.batches.rows import TrainRow
from haystack_crossalign.training.candidates import Candidate
from haystack_crossalign.training.evaluation import HeldOutScore, harm, own_first_lost, preference
from haystack_crossalign.training.model_card import model_card
from haystack_crossalign.training.model_setup import BaseModel, StartRepair
from haystack_crossalign.training.monitor import Monitor
from haystack_crossalign.training.outcome import SCHEMA, training_json
from haystack_crossalign.training.output_folder import RESULT_FILE, WorkFolder
from haystack_crossalign.training.recipe.recipe import Recipe
from haystack_crossalign.training.stock_trainer import unwritable
from haystack_crossalign.training.train_data import TrainData

Scores = tuple[HeldOutScore, HeldOutScore, HeldOutScore, list[dict[str, Any]]]
"""Scores of the base model, the start and the result, and the intervals of the result."""


def describe_run(
    *,
    recipe: Recipe,
    data: TrainData,
    base: BaseModel,
    rows: Sequence[TrainRow],
    texts: TextTable,
    choice: StartRepair | None,
    monitor: Monitor,
    log: Sequence[Mapping[str, float]],
    chosen: Candidate,
    refitted: VectorMap | None,
    scores: Scores | None,
    unmeasured: Sequence[str],
    precision: str,
    device: str,
    processes: int,
) -> dict[str, Any]:
    """Everything about a run, ready for JSON: see ``training-1.schema.json``.

    :param texts: the training and held-out texts.
    :param refitted: the linear module, or a map per language, as fitted after training.
    :param log: entries of the trainer's log with the loss terms.
    :param unmeasured: target languages that the held-out part does not measure.
    :param precision: ``bf16`` or ``fp32``.
    :param device: device of the training.
    :param processes: number of processes.
    """
    model = {
        "name": base.loaded.name,
        "hub_name": base.loaded.hub_name,
        "sha256": base.loaded.sha256,
        "revision": base.loaded.revision,
        "dimension": int(base.model.get_embedding_dimension() or 0),
        "prompts": {"query": base.prompts.query, "document": base.prompts.document},
        "prompts_from": base.prompts.source,
        "similarity": base.similarity,
        "max_tokens": texts.limit,
        "cut_texts": texts.cut(),
    }
    held = recipe.held_out
    facts = build_provenance(
        "train",
        {
            "files": [asdict(source) for source in data.sources],
            "triplets": len(data.train),
            "rows": dict(sorted(Counter(row.kind for row in rows).items())),
            "held_out": {"triplets": len(data.held_out), "by": held.by, "file": held.path is not None},
        },
        model=model,
        options=recipe.public(),
        seed=recipe.seed,
    )
    facts["recipe"] = facts.pop("options")
    facts["environment"] |= {"precision": precision, "device": device, "processes": processes}
    return {
        "schema": SCHEMA,
        "name": recipe.name or monitor.folder.name.removeprefix(".").removesuffix(".training"),
        **facts,
        "start": {
            "kind": recipe.start.kind,
            "repair": None if choice is None else dict(choice.repair.metadata),
            "trials": [] if choice is None else [_trial(trial) for trial in choice.trials],
        },
        "curves": {
            "steps": [dict(entry) for entry in log],
            "evaluations": [
                {
                    "step": evaluation.step,
                    "alignment": evaluation.score.alignment,
                    "harm": None if monitor.base is None else harm(evaluation.score, monitor.base),
                    "rows": [row.to_dict() for row in evaluation.score.rows],
                }
                for evaluation in monitor.history
            ],
        },
        "kept": {
            "step": chosen.step,
            "of_steps": monitor.step,
            "share": chosen.share,
            "refitted": None if refitted is None else dict(refitted.metadata),
            "tried": [
                {
                    "share": share,
                    "alignment": score.alignment,
                    "harm": None if monitor.base is None else harm(score, monitor.base),
                    "own_first_lost": None if monitor.base is None else own_first_lost(score, monitor.base),
                }
                for share, score in chosen.tried.items()
            ],
        },
        "result": None if scores is None else _result(recipe, scores, unmeasured),
    }


def write_result(
    model: Any,
    work: WorkFolder,
    facts: dict[str, Any],
    seconds: Mapping[str, float],
    *,
    repair: VectorMap | None = None,
) -> None:
    """Write the result in the working folder and rename it to the output.

    :param model: without adapters.
    :param work: the folder of the run.
    :param facts: from :func:`describe_run`; the hashes of the weights are added.
    :param seconds: seconds by stage.
    :param repair: the map from the base's embeddings to the model's, if there is one, for ``matrix.safetensors``.
    :raises ExternalError: if something cannot be written.
    """
    folder = work.result
    try:
        model.eval().save_pretrained(str(folder), create_model_card=False)
        facts["weights"] = {
            path.relative_to(folder).as_posix(): file_sha256(path) for path in sorted(folder.rglob("*.safetensors"))
        }
        if repair is not None:
            write_matrix_file(repair, folder / MATRIX_FILE, base=facts["model"])
        texts = {
            "README.md": model_card(facts),
            RESULT_FILE: training_json(facts),
            "report.html": render_training_html(facts),
        }
        times = {"schema": "crossalign.times/1", "seconds": {name: round(value, 3) for name, value in seconds.items()}}
        texts["training.times.json"] = json.dumps(times, indent=1) + "\n"
        for name, text in texts.items():
            write_atomically(folder / name, text)
    except (OSError, SafetensorError) as error:
        raise unwritable(work.output, error) from error
    work.publish()


def _trial(trial: Any) -> dict[str, Any]:
    return {
        "strength": trial.strength,
        "common_share": trial.common_share,
        "whitening": trial.whitening,
        "bias": trial.score.bias,
        "quality": dict(trial.score.quality),
        "harmless": trial.harmless,
    }


def _result(recipe: Recipe, scores: Scores, unmeasured: Sequence[str]) -> dict[str, Any]:
    base, start, after, intervals = scores
    rows = []
    for number, row in enumerate(after.rows):
        measures = {
            name: {
                "base": base.rows[number].measures[name],
                "start": start.rows[number].measures[name],
                "after": value,
                "interval": intervals[number].get(name),
            }
            for name, value in row.measures.items()
        }
        about = {name: value for name, value in row.to_dict().items() if name != "measures"}
        rows.append({"name": row.name, **about, "measures": measures})
    harmless = preference(after, base, recipe.evaluate)[0]
    return {
        "rows": rows,
        "alignment": {"base": base.alignment, "start": start.alignment, "after": after.alignment},
        "harm": harm(after, base),
        "tolerance": recipe.evaluate.tolerance,
        "own_first_lost": own_first_lost(after, base),
        "keep_own_first": recipe.evaluate.keep_own_first,
        # Measured harm counts; for a language that was not measured, it is unknown.
        "harmless": None if harmless and unmeasured else harmless,
        "unmeasured": list(unmeasured),
    }

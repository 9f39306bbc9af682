"""Repair and training of models as Python functions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from haystack_crossalign.api.collection import opened
from haystack_crossalign.audit.run import Progress
from haystack_crossalign.errors import InputError
from haystack_crossalign.models.names import DEFAULT_MODEL

if TYPE_CHECKING:
    from haystack_crossalign.repair.fit import RepairOutcome
    from haystack_crossalign.repair.options import RepairOptions
    from haystack_crossalign.training.outcome import TrainingOutcome
    from haystack_crossalign.training.recipe.recipe import Recipe


def repair_model(
    parallel: Path | str,
    output: Path | str,
    *,
    model: str = DEFAULT_MODEL,
    held_out: Path | str | None = None,
    other_languages: Path | str | None = None,
    closed: bool = False,
    fit_limit: int = 800,
    held_out_limit: int = 500,
    detect_languages: bool = False,
    options: RepairOptions | None = None,
    progress: Progress | None = None,
) -> RepairOutcome:
    """Remove the language directions from a model's embeddings, without training, and write the repaired model.

    :param parallel: JSON Lines with ``id``, ``text``, ``language`` and ``parallel_id``, or triplets.
    :param output: folder to create, for the model, its matrix file, the audits before and after, and the report.
    :param model: hub name, folder, or ``offline:multilingual-e5-small``.
    :param held_out: parallel documents to judge on; None for half of ``parallel``.
    :param other_languages: documents in languages that the repair must not harm; None for the texts that ship with this
        package.
    :param closed: whether the index holds no other languages, so that none is protected.
    :param fit_limit: maximum documents per language to fit on.
    :param held_out_limit: maximum documents per language to judge on.
    :param detect_languages: detect the language of documents that name none, and leave out those that are not clear.
    :param options: how strengths are chosen and judged.
    :param progress: called while embedding and ranking.
    :raises InputError: for files that cannot be used, or an output folder that exists.
    :raises ExternalError: if the model cannot be loaded or the output cannot be written.
    """
    from haystack_crossalign.files.writing import check_new_folder
    from haystack_crossalign.repair.fit import fit_repair
    from haystack_crossalign.repair.options import RepairOptions
    from haystack_crossalign.repair.other_languages import read_other_languages
    from haystack_crossalign.repair.output import open_model, write_repair
    from haystack_crossalign.repair.sample import make_sample
    from haystack_crossalign.repair.texts import read_repair_texts

    check_new_folder(output)
    texts = read_repair_texts(parallel, parallel=True, detect=detect_languages)
    judges = None if held_out is None else read_repair_texts(held_out, detect=detect_languages)
    options = RepairOptions() if options is None else options
    others = read_other_languages(other_languages, closed=closed)
    sample = make_sample(
        texts, None, judges, others=others, fit_limit=fit_limit, held_out_limit=held_out_limit, seed=options.seed
    )
    sources = [source for part in (texts, judges, others) if part is not None for source in part.sources]
    encoder = opened(model)
    base = open_model(model, encoder.prompts, similarity=options.similarity)
    outcome = fit_repair(sample, encoder, sources=sources, options=options, progress=progress)
    return write_repair(outcome, output, model=base, sources=sources)


def train_model(
    recipe: Recipe | Path | str,
    output: Path | str,
    *,
    overrides: Sequence[str] = (),
    resume: bool = False,
) -> TrainingOutcome:
    """Fine-tune a model by a recipe, and write it as a stock sentence-transformers folder with its report.

    :param recipe: the recipe, or its YAML file.
    :param output: new or empty folder, or that of an earlier run, which is replaced.
    :param overrides: values over those of the file, such as ``optimiser.learning_rate=1e-5``.
    :param resume: continue an interrupted run from its last checkpoint.
    :raises InputError: for a recipe or data that cannot be used, or an output that must not be replaced.
    :raises ExternalError: if the model cannot be loaded or the output cannot be written.
    """
    from haystack_crossalign.training.packages import need_training_packages
    from haystack_crossalign.training.recipe.recipe import Recipe, read_recipe

    need_training_packages()
    from haystack_crossalign.training.trainer import train

    if isinstance(recipe, Recipe):
        if overrides:
            raise InputError("overrides are for a recipe's file", field="overrides", seen=list(overrides))
        return train(recipe, output, resume=resume)
    settings = read_recipe(Path(recipe), tuple(overrides))
    return train(settings, output, resume=resume)

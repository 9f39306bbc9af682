"""The product as Python functions; `haystack_crossalign` offers each of them by its name.

Every function fills in the provenance of its result, so that an audit is three lines: read a collection, audit it, look
at the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haystack_crossalign.audit.provenance import build_provenance, describe_data
from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.audit.result_lists import audit_run as audit_ranked_lists
from haystack_crossalign.audit.run import Embedder, Progress, audit_vectors, embed_collection
from haystack_crossalign.audit.scenarios import select_scenarios
from haystack_crossalign.audit.similarity import settle_similarity
from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.formats.run_files import Run, read_run
from haystack_crossalign.errors import InputError
from haystack_crossalign.measures import Measure, parse_measure
from haystack_crossalign.models.names import DEFAULT_MODEL
from haystack_crossalign.ranks import parse_similarity

if TYPE_CHECKING:
    from haystack_crossalign.repair.fit import RepairOptions, RepairOutcome
    from haystack_crossalign.training.outcome import TrainingOutcome
    from haystack_crossalign.training.recipe.recipe import Recipe


def audit_collection(
    collection: JudgedCollection,
    model: str | Embedder | None = None,
    *,
    scenarios: Sequence[str] = ("multi",),
    languages: Sequence[str] | None = None,
    pairs: str | None = None,
    measures: Sequence[str | Measure] | None = None,
    similarity: str | None = None,
    seed: int = 0,
    samples: int = 1000,
    progress: Progress | None = None,
) -> AuditResult:
    """Rank the relevant documents of every query in the whole pool, exactly, and measure the language bias.

    :param collection: documents, queries and judgments, as `read_collection` and the other readers give them. Vectors
        that it brings along are used as they are.
    :param model: hub name, folder, ``offline:multilingual-e5-small`` or an `Encoder`; None takes the default model
        where the collection lacks vectors.
    :param scenarios: ``multi`` (one pool of all languages), ``mono-same``, ``mono-cross``.
    :param languages: languages of the pool, as BCP-47 tags; None takes all.
    :param pairs: one pool of this language and X for every other language X, in place of one pool of all.
    :param measures: names such as ``Max@R``, or measures; None takes the default ones.
    :param similarity: ``cosine``, ``dot``, ``euclidean`` or ``manhattan``; None ranks by what the model says, and by
        cosine where all vectors came with the collection.
    :param seed: seed of the bootstrap.
    :param samples: bootstrap samples behind each interval.
    :param progress: called with what is being done, how much of it is done, and of how much.
    :raises InputError: for a language, scenario, measure or similarity that does not exist, or vectors that do not fit
        each other.
    :raises ExternalError: when the model cannot be loaded.
    """
    chosen = _measures(measures)
    compared_by = None if similarity is None else parse_similarity(similarity, field="similarity")
    part, plan = select_scenarios(collection, scenarios, languages, pairs)
    needs_model = part.documents.vectors is None or part.queries.vectors is None
    embedder = _embedder(model) if needs_model else None
    options = {
        "scenarios": list(scenarios),
        "languages": None if languages is None else list(languages),
        "pairs": pairs,
        "measures": _names(chosen),
        "samples": samples,
    }
    part = embed_collection(part, embedder, progress=progress)
    described = None if embedder is None else embedder.provenance()
    ranked_by = settle_similarity(described, compared_by)
    return audit_vectors(
        part,
        plan,
        provenance=build_provenance(
            "audit",
            describe_data(part),
            model=described,
            options=options,
            seed=seed,
            ranked_by=ranked_by,
        ),
        similarity=ranked_by.similarity,
        measures=chosen,
        seed=seed,
        samples=samples,
        progress=progress,
    )


def audit_run(
    collection: JudgedCollection,
    run: Run | Path | str,
    *,
    depth: int | None = None,
    measures: Sequence[str | Measure] | None = None,
    seed: int = 0,
    samples: int = 1000,
) -> AuditResult:
    """Measure what a search engine returned: the result lists of a TREC run. What lies below a list's end is censored.

    :param collection: documents, queries and judgments; vectors play no part.
    :param run: the run, or its file.
    :param depth: number of documents that were asked for; None takes the length of the longest list.
    :param measures: names such as ``Max@R``, or measures; None takes the default ones.
    :param seed: seed of the bootstrap.
    :param samples: bootstrap samples behind each interval.
    :raises InputError: for a damaged run, or one with documents or queries that the collection lacks.
    """
    lists = run if isinstance(run, Run) else read_run(run)
    chosen = _measures(measures)
    options = {
        "results": {"name": lists.source.name, "sha256": lists.source.sha256},
        "depth": depth,
        "measures": _names(chosen),
        "samples": samples,
    }
    return audit_ranked_lists(
        collection,
        lists,
        provenance=build_provenance("audit", describe_data(collection), model=None, options=options, seed=seed),
        measures=chosen,
        depth=depth,
        samples=samples,
        seed=seed,
    )


def repair_model(
    parallel: Path | str,
    output: Path | str,
    *,
    model: str = DEFAULT_MODEL,
    held_out: Path | str | None = None,
    fit_limit: int = 800,
    held_out_limit: int = 500,
    options: RepairOptions | None = None,
    progress: Progress | None = None,
) -> RepairOutcome:
    """Take the language directions out of a model's embeddings, without training, and write the repaired model.

    :param parallel: JSON lines with ``id``, ``text``, ``language`` and ``parallel_id``, or triplets.
    :param output: folder to be made: the model, its matrix file, the audit before and after, the report.
    :param model: hub name, folder, or ``offline:multilingual-e5-small``.
    :param held_out: parallel documents to judge by; None judges by half of ``parallel``.
    :param fit_limit: documents per language that are fitted on.
    :param held_out_limit: documents per language that judge.
    :param options: how strengths are chosen and judged.
    :param progress: called while embedding and ranking.
    :raises InputError: for files that cannot be used, or an output folder that exists.
    :raises ExternalError: when the model cannot be loaded or the output cannot be written.
    """
    from haystack_crossalign.files.writing import check_new_folder
    from haystack_crossalign.repair.fit import RepairOptions, fit_repair
    from haystack_crossalign.repair.output import open_model, write_repair
    from haystack_crossalign.repair.sample import make_sample
    from haystack_crossalign.repair.texts import read_repair_texts
    from haystack_crossalign.report.pages import comparison_pages

    check_new_folder(output)
    texts = read_repair_texts(parallel, parallel=True)
    judges = None if held_out is None else read_repair_texts(held_out)
    options = RepairOptions() if options is None else options
    sample = make_sample(texts, None, judges, fit_limit=fit_limit, held_out_limit=held_out_limit, seed=options.seed)
    sources = [source for part in (texts, judges) if part is not None for source in part.sources]
    encoder = _embedder(model)
    base = open_model(model, encoder.prompts, similarity=options.similarity)
    outcome = fit_repair(sample, encoder, sources=sources, options=options, progress=progress)
    return write_repair(outcome, output, model=base, sources=sources, pages=comparison_pages)


def train_model(
    recipe: Recipe | Path | str,
    output: Path | str,
    *,
    overrides: Sequence[str] = (),
    resume: bool = False,
) -> TrainingOutcome:
    """Fine-tune a model by a recipe, and write it as a stock sentence-transformers folder with its report.

    :param recipe: the recipe, or its YAML file.
    :param output: new or empty folder, or one of an earlier run, which is replaced.
    :param overrides: values over those of the file, such as ``optimiser.learning_rate=1e-5``.
    :param resume: continue an interrupted run from its last checkpoint.
    :raises InputError: for a recipe or data that cannot be trained on, and an output that is not ours.
    :raises ExternalError: when the model cannot be loaded or the output cannot be written.
    """
    from haystack_crossalign.report.training_html import render_training_html
    from haystack_crossalign.training.recipe.recipe import Recipe, read_recipe
    from haystack_crossalign.training.trainer import train

    if isinstance(recipe, Recipe):
        if overrides:
            raise InputError("overrides are for a recipe's file", field="overrides", seen=list(overrides))
        return train(recipe, output, resume=resume, files={"report.html": render_training_html})
    settings = read_recipe(Path(recipe), tuple(overrides))
    return train(settings, output, resume=resume, files={"report.html": render_training_html})


def _embedder(model: str | Embedder | None) -> Any:
    """The embedder itself, or the model of that name."""
    from haystack_crossalign.models.encoder import Encoder

    if model is None or isinstance(model, str):
        return Encoder(model or DEFAULT_MODEL)
    return model.counting_anew() if isinstance(model, Encoder) else model


def _measures(measures: Sequence[str | Measure] | None) -> list[Measure] | None:
    if measures is None:
        return None
    parsed = [parse_measure(measure) if isinstance(measure, str) else measure for measure in measures]
    return list({measure.name: measure for measure in parsed}.values())


def _names(measures: Sequence[Measure] | None) -> list[str] | None:
    return None if measures is None else [measure.name for measure in measures]

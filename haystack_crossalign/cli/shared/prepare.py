"""From options to what the work needs: languages, rows, conditions, measures, models, data sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from haystack_crossalign.cli.shared.options import split_names
from haystack_crossalign.errors import InputError
from haystack_crossalign.models.names import DEFAULT_MODEL

if TYPE_CHECKING:
    from pathlib import Path

    from haystack_crossalign.audit.gate import Condition
    from haystack_crossalign.audit.run import Embedder
    from haystack_crossalign.audit.scenarios import Scenario
    from haystack_crossalign.data.collection import JudgedCollection
    from haystack_crossalign.data.reading_log import ReadingLog
    from haystack_crossalign.measures import Measure
    from haystack_crossalign.ranks import Similarity

__all__ = [
    "check_model",
    "open_embedder",
    "prepare_plan",
    "read_benchmark",
    "read_gate",
    "read_judgments",
    "read_measures",
    "read_similarity",
    "reading_log",
]


def read_gate(conditions: Sequence[str] | None) -> list[Condition]:
    """The conditions of --fail-on.

    :raises InputError: for one that cannot be read.
    """
    if not conditions:
        return []
    from haystack_crossalign.audit.gate import parse_condition

    return [parse_condition(text) for text in conditions]


def read_measures(names: str | None) -> list[Measure] | None:
    """The measures of --measures, None for the default ones.

    :raises InputError: for a name that is unknown.
    """
    chosen = split_names(names)
    if chosen is None:
        return None
    from haystack_crossalign.measures import parse_measure

    if not chosen:
        raise InputError("no measure", source="--measures", seen=names, allowed="names such as Max@R, Complete@10")
    try:
        return list({measure.name: measure for measure in map(parse_measure, chosen)}.values())
    except InputError as error:
        raise InputError(error.problem, source="--measures", seen=error.seen, allowed=error.allowed) from error


def read_judgments(
    documents: Path | None,
    queries: Path | None,
    qrels: Path | None,
    workbench: Path | None,
    beir: Path | None,
    *,
    split: str,
    language_field: str,
    group_field: str,
    title_field: str | None,
    query_language: str | None,
    expand_groups: bool,
    detect: bool,
    relevance_level: int,
    log: ReadingLog,
    keep_unanswerable: bool = False,
) -> JudgedCollection:
    """The judged collection that the options name: files, or a BEIR folder.

    :param log: decides whether invalid rows are left out, and counts them.
    :param keep_unanswerable: keep queries without relevant document, to convert judgments.
    :raises InputError: when both or neither are named, or a file is wrong.
    """
    shared: dict[str, Any] = {
        "language_field": language_field,
        "group_field": group_field,
        "title_field": "title" if title_field is None else title_field or None,
        "default_language": query_language,
        "expand_groups": expand_groups,
        "detect": detect,
        "relevance_level": relevance_level,
        "keep_unanswerable": keep_unanswerable,
        "log": log,
    }
    if beir is not None:
        if any(path is not None for path in (documents, queries, qrels, workbench)):
            raise InputError(
                "--beir takes the place of --documents, --queries, --qrels and --workbench",
                allowed="either a folder or files",
            )
        from haystack_crossalign.data.formats.beir import read_beir

        return read_beir(beir, split=split, **shared)
    if documents is None or queries is None:
        raise InputError(
            "no documents and queries",
            allowed="--documents FILE and --queries FILE, or --beir DIR (or try: crossalign demo)",
        )
    from haystack_crossalign.data.formats.read import read_collection

    return read_collection(documents, queries, qrels=qrels, workbench=workbench, **shared)


def reading_log(skip_invalid: bool) -> ReadingLog:
    """What decides whether invalid rows are left out; errors name the option.

    :param skip_invalid: --skip-invalid.
    """
    from haystack_crossalign.data.reading_log import ReadingLog

    return ReadingLog(skip_invalid=skip_invalid, remedy="or --skip-invalid, which leaves out and counts what is wrong")


def prepare_plan(
    collection: JudgedCollection, scenarios: str, languages: str | None, pairs: str | None
) -> tuple[JudgedCollection, list[Scenario]]:
    """The part of a collection in the chosen languages, and the rows to compute on it.

    :raises InputError: for a language the data does not have, or scenarios that have no row.
    """
    from haystack_crossalign.audit.scenarios import select_scenarios

    return select_scenarios(collection, split_names(scenarios) or (), split_names(languages), pairs)


def read_benchmark(dataset: str, data: str, languages: str, pool: str) -> JudgedCollection:
    """A benchmark's collection in some languages, from a folder or from the hub.

    :param dataset: "xquad" or "belebele".
    :param data: a folder, or a name on the hub behind ``hf:``.
    :raises InputError: when the folder lacks a language's file or a file is damaged.
    """
    from haystack_crossalign.data.benchmarks.belebele import read_belebele
    from haystack_crossalign.data.benchmarks.xquad import read_xquad

    read = {"xquad": read_xquad, "belebele": read_belebele}[dataset]
    return read(data, split_names(languages) or (), pool=pool)


def check_model(model: str | None, embedder: Path | None, precision: str, max_tokens: int | None) -> None:
    """Refuse options of the model that contradict each other or do not exist, before anything is read.

    :raises InputError: naming the option.
    """
    from haystack_crossalign.precision import PRECISIONS

    if precision not in PRECISIONS:
        raise InputError("unknown precision", source="--precision", seen=precision, allowed=", ".join(PRECISIONS))
    if model is not None and embedder is not None:
        raise InputError("--model and --embedder exclude each other", allowed="one of them")
    if embedder is not None and (precision != "auto" or max_tokens is not None):
        raise InputError(
            "--precision and --max-tokens are for --model; with --embedder they stand in its file",
            source="--embedder",
            allowed="--embedder without them",
        )


def read_similarity(name: str | None) -> Similarity | None:
    """The similarity that ``--similarity`` names; None where it is left to the model.

    :raises InputError: for an unknown name.
    """
    if name is None:
        return None
    from haystack_crossalign.ranks import parse_similarity

    return parse_similarity(name, source="--similarity")


def open_embedder(model: str | None, embedder: Path | None, *, precision: str, max_tokens: int | None) -> Embedder:
    """The model or the Haystack embedders that the options name.

    :raises InputError: when the file or the name is wrong.
    :raises ExternalError: when the model cannot be loaded.
    """
    if embedder is not None:
        from haystack_crossalign.pipelines.embedder import PipelineEmbedder

        return PipelineEmbedder.from_yaml(embedder)
    from haystack_crossalign.models.encoder import Encoder

    return Encoder(model or DEFAULT_MODEL, precision=precision, max_tokens=max_tokens)

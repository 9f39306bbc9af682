"""From options to what the work needs: languages, rows, conditions, measures, models, data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from haystack_crossalign.cli.shared.options import TIES, split_names
from haystack_crossalign.errors import InputError
from haystack_crossalign.models.names import DEFAULT_MODEL, POOLINGS

if TYPE_CHECKING:
    from pathlib import Path

    from haystack_crossalign.audit.gate import Condition
    from haystack_crossalign.audit.run import Embedder
    from haystack_crossalign.audit.scenarios import Scenario
    from haystack_crossalign.data.collection import JudgedCollection
    from haystack_crossalign.data.reading_log import ReadingLog
    from haystack_crossalign.measures import Measure
    from haystack_crossalign.models.encoder import Encoder
    from haystack_crossalign.ranks import Similarity


def read_gate(conditions: Sequence[str] | None, ties: str) -> list[Condition]:
    """The conditions of --fail-on.

    :param conditions: as they were typed.
    :param ties: what they look at where equal scores leave a measure open, of --ties.
    :raises InputError: for one that cannot be read, or an unknown choice.
    """
    if ties not in TIES:
        raise InputError("unknown choice", source="--ties", seen=ties, allowed=", ".join(TIES))
    if not conditions:
        return []
    from haystack_crossalign.audit.gate import parse_condition

    return [parse_condition(text, ties=ties) for text in conditions]


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
    from haystack_crossalign.data.corpora.belebele import read_belebele
    from haystack_crossalign.data.corpora.xquad import read_xquad

    read = {"xquad": read_xquad, "belebele": read_belebele}[dataset]
    return read(data, split_names(languages) or (), pool=pool)


def read_similarity(name: str | None) -> Similarity | None:
    """The similarity that ``--similarity`` names; None where it is left to the model.

    :raises InputError: for an unknown name.
    """
    if name is None:
        return None
    from haystack_crossalign.ranks import parse_similarity

    return parse_similarity(name, source="--similarity")


@dataclass(frozen=True)
class ModelOptions:
    """What the options of a command say of the model; a command has all of them, or some.

    :param model: hub name, folder, or ``offline:multilingual-e5-small``; None is the default model.
    :param embedder: a file with Haystack embedders, in place of a model.
    :param precision: ``auto``, ``bf16`` or ``fp32``.
    :param max_tokens: texts are cut after this many tokens.
    :param query_prefix: text before each query.
    :param document_prefix: text before each document.
    :param query_prompt: name of one of the model's prompts, for queries.
    :param document_prompt: the same for documents.
    :param pooling: for a model without modules.json.
    :param trust_remote_code: run code that comes with the model.
    """

    model: str | None = None
    embedder: Path | None = None
    precision: str = "auto"
    max_tokens: int | None = None
    query_prefix: str | None = None
    document_prefix: str | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    pooling: str | None = None
    trust_remote_code: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> ModelOptions:
        """The options among the parameters of a command.

        :param given: the parameters by name, ``locals()`` at the start of the command.
        """
        return cls(**{entry.name: given[entry.name] for entry in fields(cls) if entry.name in given})

    @property
    def given(self) -> dict[str, Any]:
        """Options beside the model that are not at their defaults, by name, for the provenance."""
        return {
            entry.name: getattr(self, entry.name)
            for entry in fields(self)
            if entry.name not in ("model", "embedder") and getattr(self, entry.name) != entry.default
        }

    def check(self) -> None:
        """Refuse options that contradict each other or do not exist, before anything is read.

        :raises InputError: naming the option.
        """
        from haystack_crossalign.precision import PRECISIONS

        if self.precision not in PRECISIONS:
            raise InputError(
                "unknown precision", source="--precision", seen=self.precision, allowed=", ".join(PRECISIONS)
            )
        if self.pooling is not None and self.pooling not in POOLINGS:
            raise InputError("unknown pooling", source="--pooling", seen=self.pooling, allowed=", ".join(POOLINGS))
        for role in ("query", "document"):
            if getattr(self, f"{role}_prefix") is not None and getattr(self, f"{role}_prompt") is not None:
                raise InputError(
                    f"--{role}-prefix and --{role}-prompt exclude each other",
                    source=f"--{role}-prompt",
                    allowed="one of them",
                )
        if self.embedder is None:
            return
        if self.model is not None:
            raise InputError("--model and --embedder exclude each other", allowed="one of them")
        if self.given and set(self.given) != {"trust_remote_code"}:
            name = next(name for name in self.given if name != "trust_remote_code")
            option = f"--{name.replace('_', '-')}"
            raise InputError(
                f"{option} is for --model; with --embedder it stands in its file",
                source="--embedder",
                allowed=f"--embedder without {option}",
            )

    def open(self) -> Embedder:
        """The model or the Haystack embedders.

        :raises InputError: when the file or the name is wrong.
        :raises ExternalError: when the model cannot be loaded.
        """
        if self.embedder is not None:
            from haystack_crossalign.pipelines.embedder import PipelineEmbedder

            return PipelineEmbedder.from_yaml(self.embedder, trust_remote_code=self.trust_remote_code)
        return self.encoder()

    def encoder(self, name: str | None = None, **more: Any) -> Encoder:
        """The model itself.

        :param name: takes the place of the model.
        :param more: take the place of other options.
        :raises CrossAlignError: as `open`.
        """
        from haystack_crossalign.models.encoder import Encoder

        given = self.given | more
        try:
            return Encoder(name or self.model or DEFAULT_MODEL, **given)
        except InputError as error:
            if error.field not in given:
                raise
            option = f"--{error.field.replace('_', '-')}"
            raise InputError(error.problem, source=option, seen=error.seen, allowed=error.allowed) from error

"""`crossalign triplets build`: triplets from a published corpus, from documents in files, or from a live index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from haystack_crossalign.cli.shared import live_options as live
from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.groups import with_groups
from haystack_crossalign.cli.shared.triplet_files import (
    Counts,
    Language,
    Output,
    Targets,
    check_triplet_outputs,
    finish,
    target_tags,
)
from haystack_crossalign.errors import InputError, refuse_without_effect

if TYPE_CHECKING:
    from haystack_crossalign.files.reading import Source
    from haystack_crossalign.opensearch.connection.settings import LiveSettings
    from haystack_crossalign.triplets.builders import BuiltTriplets

Corpus = Annotated[
    str | None, typer.Option(metavar="NAME", help="A published corpus: ntrex, tico19, course_sections or squad.")
]
Drop = Annotated[Path | None, typer.Option(metavar="FILE", help="JSON list of ids to leave out of the corpus.")]
Block = Annotated[int, typer.Option(min=2, metavar="N", help="Corpora of sentences: sentences per block.")]
PerBlock = Annotated[int, typer.Option(min=1, metavar="N", help="Corpora of sentences: maximum queries per block.")]
Queries = Annotated[
    Path | None,
    typer.Option(
        "--queries",
        metavar="FILE",
        help="Queries: JSON Lines with id, text, language, relevant; or TSV with --qrels. Default: the title or first "
        "sentence of each document is its query.",
    ),
]
TitleField = Annotated[
    str | None,
    typer.Option(
        "--title-field",
        metavar="NAME",
        help="Field of documents that is their query or, with --queries, is put before their text; '' for none. "
        "Default: title; none with --index.",
    ),
]
RelevanceLevel = Annotated[int, typer.Option(min=1, metavar="N", help="Lowest grade of a relevant document.")]
Groups = Annotated[
    int | None,
    typer.Option("--groups", min=1, metavar="N", help="With --index and no queries: contents to read. Default: 3000."),
]

_GROUPS = 3000
_BLOCK = 4
_IN_BLOCKS = ("ntrex", "tico19")


@dataclass(frozen=True)
class _Read:
    """Triplets, where they come from, and what was not read."""

    built: BuiltTriplets
    sources: tuple[Source, ...]
    unread: dict[str, int]


@with_groups()
def build(
    *,
    languages: Targets,
    output: Output,
    corpus: Corpus = None,
    data: opt.CorporaFolder = None,
    source: Annotated[
        Path | None, typer.Option("--input", metavar="PATH", help="Folder or file of the corpus, instead of --data.")
    ] = None,
    drop: Drop = None,
    block: Block = _BLOCK,
    queries_per_block: PerBlock = 1,
    documents: opt.Documents = None,
    place: live.IndexFlags,
    index_fields: live.FieldFlags,
    title_field: TitleField = None,
    login: live.LoginFlags,
    timeout: live.Timeout = None,
    patience: live.PatienceSeconds = None,
    queries: Queries = None,
    qrels: opt.QrelsIn = None,
    groups: Groups = None,
    detect_languages: opt.DetectLanguages = False,
    relevance_level: RelevanceLevel = 1,
    language: Language = "en",
    seed: opt.Seed = 0,
    report: Counts = None,
    quiet: opt.Quiet = False,
) -> None:
    """Build triplets from a published corpus (--corpus, in the folder of CROSSALIGN_DATA or --data).

    Or from documents with a group field: those of a file (--documents) or of a live index, which is only read
    (--index); with queries of your own, or with titles and first sentences in their place.
    """
    check_triplet_outputs(
        {"--output": output, "--report": report}, (source, drop, documents, queries, qrels, place.config)
    )
    tags, own = target_tags(languages, language)
    if (corpus is not None) + (documents is not None) + place.given != 1:
        raise InputError("give either a corpus, documents or an index", allowed="--corpus, --documents, or --index")
    if qrels is not None and queries is None and corpus is None:
        raise InputError("judgments without queries", source="--qrels", allowed="--queries FILE")
    if corpus is None:
        for option, file in (("--input", source), ("--data", data), ("--drop", drop)):
            if file is not None:
                raise InputError("only works with --corpus", source=option, seen=file)
    probed = place.given and queries is None
    refuse_without_effect(
        ("--block", block != _BLOCK, corpus in _IN_BLOCKS, f"--corpus {' or '.join(_IN_BLOCKS)}"),
        ("--queries-per-block", queries_per_block != 1, corpus in _IN_BLOCKS, f"--corpus {' or '.join(_IN_BLOCKS)}"),
        ("--seed", seed != 0, probed or corpus in _IN_BLOCKS, f"--corpus {' or '.join(_IN_BLOCKS)}, or --index alone"),
        ("--groups", groups is not None, probed or not place.given, "--index without --queries"),
        ("--relevance-level", relevance_level != 1, queries is not None and corpus is None, "--queries with judgments"),
    )
    if not place.given:
        live.refuse_live(
            vars(login) | vars(place)
            | {"embedding_field": index_fields.embedding_field, "content_field": index_fields.content_field}
            | {"language_map": index_fields.language_map, "timeout": timeout, "patience": patience, "groups": groups},
            purpose="triplets from an index",
        )  # fmt: skip
    if corpus is not None:
        for option, value in (("--queries", queries), ("--qrels", qrels), ("--language", own)):
            if value not in (None, "en"):
                raise InputError("cannot be used with --corpus, which has its own", source=option, seen=value)
        blocks = {"block": block, "queries_per_block": queries_per_block, "seed": seed}
        read = _from_corpus(corpus, source, data, tags, drop, blocks)
    elif documents is not None:
        fields = (index_fields.language_field or "language", index_fields.group_field or "parallel_id", title_field)
        read = _from_files(
            documents, queries, qrels, fields, tags, own, relevance_level=relevance_level, detect=detect_languages
        )
    else:
        settings = live.live_settings(
            place, index_fields, login, title_field=title_field, timeout=timeout, patience=patience
        )
        read = _from_index(
            settings, queries, qrels, tags, own, groups=groups or _GROUPS, seed=seed, detect=detect_languages,
            relevance_level=relevance_level, quiet=quiet,
        )  # fmt: skip
    from haystack_crossalign.data.triplets import require_languages, with_unique_ids

    built = read.built
    reasons = ", ".join(f"{name}: {count}" for name, count in built.left_out.items() if count)
    use = f"can be built (left out, {reasons})" if reasons else "can be built"
    require_languages(built.triplets, tags, use, source="--languages")
    counts = {f"with {tag}": sum(tag in triplet.targets for triplet in built.triplets) for tag in tags}
    triplets = with_unique_ids(built.triplets)
    more = {"left out": {**read.unread, **built.left_out}}
    finish("build", output, report, triplets, read.sources, {"triplets": len(triplets), **counts}, more, quiet=quiet)


def _from_corpus(
    corpus: str, source: Path | None, data: Path | None, tags: Sequence[str], drop: Path | None, blocks: dict[str, int]
) -> _Read:
    from haystack_crossalign.triplets.corpora import CORPORA

    if corpus not in CORPORA:
        raise InputError("unknown corpus", source="--corpus", seen=corpus, allowed=", ".join(CORPORA))
    from haystack_crossalign.data.corpora.registry import find_corpus

    place = source or find_corpus(corpus, data)
    built, origin = CORPORA[corpus](place, tags, drop=drop, **(blocks if corpus in _IN_BLOCKS else {}))
    return _Read(built, (origin,), {})


def _from_files(
    documents: Path,
    queries: Path | None,
    qrels: Path | None,
    fields: tuple[str, str, str | None],
    tags: Sequence[str],
    language: str,
    *,
    relevance_level: int,
    detect: bool,
) -> _Read:
    from haystack_crossalign.data.formats.read import title_field_of
    from haystack_crossalign.triplets.builders import triplets_from_collection, triplets_from_documents

    language_field, group_field, title_field = fields
    if queries is None:
        from haystack_crossalign.data.formats.detected import detect_rows
        from haystack_crossalign.data.formats.jsonl import document_rows
        from haystack_crossalign.files.reading import TextFile
        from haystack_crossalign.languages import UNDETERMINED

        file = TextFile(documents)
        detected = detect_rows(
            document_rows(
                file, language_field=language_field, group_field=group_field, title_field=title_field_of(title_field),
                default_language=UNDETERMINED if detect else None,
            )
        )  # fmt: skip
        unclear = {"documents in a language that is not clear": detected.unclear} if detect else {}
        return _Read(triplets_from_documents(detected.rows, tags, language=language), (file.source,), unclear)
    from haystack_crossalign.api.collection import read_files
    from haystack_crossalign.api.requests.files import FilesRequest
    from haystack_crossalign.data.reading_log import ReadingLog

    request = FilesRequest(
        documents=documents, queries=queries, qrels=qrels, language_field=language_field, group_field=group_field,
        title_field=title_field, relevance_level=relevance_level, detect_languages=detect,
    )  # fmt: skip
    collection = read_files(request, log=ReadingLog())
    unread = {f"{omission.what}, {omission.reason}": omission.count for omission in collection.omissions}
    built = triplets_from_collection(collection, tags, language=language)
    return _Read(built, tuple(collection.sources), unread)


def _from_index(
    settings: LiveSettings,
    queries: Path | None,
    qrels: Path | None,
    tags: Sequence[str],
    language: str,
    *,
    groups: int,
    seed: int,
    detect: bool,
    relevance_level: int,
    quiet: bool,
) -> _Read:
    from haystack_crossalign.api.index_texts import index_collection, index_parallel_texts, opened_index
    from haystack_crossalign.cli.shared.progress import Stages
    from haystack_crossalign.triplets.builders import triplets_from_collection, triplets_from_documents

    with (
        Stages(show=not quiet) as progress,
        live.connected(settings) as client,
        opened_index(client, settings) as index,
    ):
        if queries is None:
            texts = index_parallel_texts(
                index, groups=groups, languages=(language, *tags), seed=seed, detect=detect,
                progress=lambda done, total: progress("Reading documents", done, total),
            )  # fmt: skip
            built = triplets_from_documents(texts.rows, tags, language=language)
            sources: tuple[Source, ...] = (texts.source,)
        else:
            collection, texts = index_collection(
                index, queries, qrels=qrels, relevance_level=relevance_level, detect=detect
            )
            built = triplets_from_collection(collection, tags, language=language)
            sources = collection.sources
    return _Read(built, sources, {f"documents {reason}": count for reason, count in sorted(texts.left_out.items())})

"""`crossalign convert`: convert judged collections between common formats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.outputs import check_outputs
from haystack_crossalign.cli.shared.terminal import say
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.writing import resolved_file

if TYPE_CHECKING:
    from haystack_crossalign.data.collection import JudgedCollection


def convert(
    documents: opt.Documents = None,
    queries: opt.QueryFile = None,
    qrels: opt.QrelsIn = None,
    beir: opt.Beir = None,
    split: opt.Split = "test",
    workbench: opt.Workbench = None,
    language_field: opt.LanguageField = "language",
    group_field: opt.GroupField = "parallel_id",
    title_field: opt.FileTitleField = None,
    query_language: opt.QueryLanguage = None,
    expand_groups: opt.ExpandGroups = False,
    detect_languages: opt.DetectLanguages = False,
    skip_invalid: opt.SkipInvalid = False,
    qrels_out: opt.QrelsFile = None,
    beir_out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write a folder in BEIR's format.")] = None,
    workbench_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a judgment list for the Search Relevance Workbench.")
    ] = None,
    query_set_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a query set for the Search Relevance Workbench.")
    ] = None,
    quiet: opt.Quiet = False,
) -> None:
    """Convert judged collections: JSON Lines, TREC, BEIR, OpenSearch's Search Relevance Workbench. Grades are kept."""
    from haystack_crossalign.api.collection import read_files, reading_log
    from haystack_crossalign.api.requests.files import FilesRequest

    if not any((qrels_out, beir_out, workbench_out, query_set_out)):
        raise InputError(
            "nothing to write", allowed="one or more of --qrels-out, --beir-out, --workbench-out, --query-set-out"
        )
    outputs = {"--qrels-out": qrels_out, "--workbench-out": workbench_out, "--query-set-out": query_set_out}
    targets = [(option, path) for option, path in outputs.items() if path is not None]
    _check_targets(targets, beir_out, [path for path in (documents, queries, qrels, workbench, beir) if path])
    request = FilesRequest(
        documents=documents,
        queries=queries,
        qrels=qrels,
        workbench=workbench,
        beir=beir,
        split=split,
        language_field=language_field,
        group_field=group_field,
        title_field=title_field,
        query_language=query_language,
        expand_groups=expand_groups,
        detect_languages=detect_languages,
    )
    request.check()
    collection = read_files(request, log=reading_log(skip_invalid), keep_unanswerable=True)
    from haystack_crossalign.audit.trec import trec_qrels
    from haystack_crossalign.data.formats.beir import write_beir
    from haystack_crossalign.data.formats.relevance_workbench import format_judgments, format_query_set
    from haystack_crossalign.files.writing import write_atomically

    # All texts are formatted before the first is written, so that an error in one leaves no file.
    texts: dict[Path, str] = {}
    left_out: tuple[str, ...] = ()
    if qrels_out is not None:
        texts[qrels_out] = trec_qrels(collection)
    if workbench_out is not None:
        texts[workbench_out] = format_judgments(collection)
    if query_set_out is not None:
        query_set = format_query_set(collection.queries, name=collection.name)
        texts[query_set_out], left_out = query_set.text, tuple(query_set.left_out)
    written = [] if beir_out is None else write_beir(beir_out, collection)
    for path, text in texts.items():
        write_atomically(path, text)
    if quiet:
        return
    from haystack_crossalign.audit.provenance import describe_data
    from haystack_crossalign.report.content.provenance import left_out_note

    if note := left_out_note(describe_data(collection).get("left_out", ())):
        typer.echo(note, err=True)
    for path in (*written, *texts):
        say(f"Wrote {path}")
    if left_out:
        say(f"Left out of the query set, since the Workbench rejects their texts: {', '.join(left_out)}", err=True)
    for note in (
        _unclear_note(collection) if beir_out is not None else "",
        _merged_note(collection) if workbench_out is not None else "",
    ):
        if note:
            say(note, err=True)


def _check_targets(targets: Sequence[tuple[str, Path]], beir_out: Path | None, inputs: Sequence[Path]) -> None:
    """Refuse outputs that cannot be written, or would replace an input or each other, before anything is written."""
    from haystack_crossalign.data.formats.beir import beir_files

    files = () if beir_out is None else beir_files(beir_out)
    # Files of a folder that is still to be made cannot be in the way of anything.
    check_outputs([*targets, *(("--beir-out", path) for path in files if path.parent.is_dir())], inputs)
    for path in files[-1:]:
        made = resolved_file(path, source="--beir-out").parents
        for option, target in targets:
            if resolved_file(target, source=option) in made:
                raise InputError(
                    "would be in the place of a folder of --beir-out", source=option, seen=str(target),
                    allowed="a file of its own for each output",
                )  # fmt: skip
        if any(source.is_dir() and resolved_file(source, source="input") in made for source in inputs):
            raise InputError(
                "is within a folder that is read", source="--beir-out", seen=str(beir_out), allowed="another folder"
            )


def _unclear_note(collection: JudgedCollection) -> str:
    """A line on the texts that a BEIR folder holds without a language, since theirs is not clear."""
    from haystack_crossalign.report.content.words import plural

    found = collection.detection
    if found is None or not (found.undetermined_documents or found.undetermined_queries):
        return ""
    queries = found.undetermined_queries
    first = f" (the first: {queries[0]})" if queries else ""
    return (
        f"Kept without a language in the BEIR folder, since theirs is not clear: "
        f"{plural(len(queries), 'query', 'queries')}{first}, {plural(found.undetermined_documents, 'document')}"
    )


def _merged_note(collection: JudgedCollection) -> str:
    """A line on the queries that a judgment list cannot tell apart."""
    from haystack_crossalign.data.formats.relevance_workbench import merged_queries
    from haystack_crossalign.report.content.words import plural

    merged = merged_queries(collection)
    if not merged.queries:
        return ""
    note = (
        f"Merged in the judgment list, which knows queries by their texts alone: {len(merged.queries)} queries to "
        f"{merged.texts} (the first: {merged.queries[0]})"
    )
    if not merged.conflicts:
        return note
    document, query = merged.conflicts[0]
    return (
        f"{note}; their grades differ for {plural(len(merged.conflicts), 'document')} (the first: {document} of "
        f"{query}), and the highest is written"
    )

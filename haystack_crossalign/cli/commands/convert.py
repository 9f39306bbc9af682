"""`crossalign convert`: convert judged collections between common formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.terminal import say
from haystack_crossalign.errors import InputError


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
    from haystack_crossalign.api.requests import FilesRequest

    if not any((qrels_out, beir_out, workbench_out, query_set_out)):
        raise InputError(
            "nothing to write", allowed="one or more of --qrels-out, --beir-out, --workbench-out, --query-set-out"
        )
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

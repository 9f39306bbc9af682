"""`crossalign gaps`: which contents lack a version in a language, or have an old one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from haystack_crossalign.cli.shared import live_options as live
from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.groups import with_groups
from haystack_crossalign.cli.shared.outputs import check_outputs
from haystack_crossalign.errors import InputError
from haystack_crossalign.messages import one_line

if TYPE_CHECKING:
    from haystack_crossalign.cli.shared.progress import Stages

DateField = Annotated[
    str | None,
    typer.Option("--date-field", metavar="NAME", help="Date of a document: finds versions older than their source."),
]
Source = Annotated[
    str | None,
    typer.Option(
        "--source", metavar="LANGUAGE", help="Language of the originals. Default: the one with most contents."
    ),
]
Languages = Annotated[
    str | None,
    typer.Option(metavar="en,zh,…", help="Languages that every content should have. Default: all in the data."),
]
QueryLog = Annotated[
    Path | None,
    typer.Option(
        "--query-log", metavar="FILE", help="Counts for the queries: TSV with query, count and, if known, language."
    ),
]
CsvFile = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write every gap, one line each.")]
Shown = Annotated[int, typer.Option("--show", min=1, metavar="N", help="Gaps on the terminal.")]


@with_groups()
def gaps(
    *,
    documents: opt.Documents = None,
    queries: opt.QueryFile = None,
    qrels: opt.QrelsIn = None,
    place: live.IndexFlags,
    index_fields: live.FieldFlags,
    title_field: opt.TitleField = None,
    login: live.LoginFlags,
    date_field: DateField = None,
    source: Source = None,
    languages: Languages = None,
    query_log: QueryLog = None,
    query_language: opt.QueryLanguage = None,
    model: opt.ModelFlags,
    csv_file: CsvFile = None,
    json_file: opt.JsonFile = None,
    markdown: opt.MarkdownFile = None,
    show: Shown = 25,
    quiet: opt.Quiet = False,
) -> None:
    """List what is missing in a language, or older than its source, in the order of demand.

    The rank is where a speaker of that language finds the existing version now.
    """
    from haystack_crossalign.cli.shared.progress import Stages
    from haystack_crossalign.cli.shared.terminal import console
    from haystack_crossalign.files.writing import write_atomically

    outputs = [("--csv", csv_file), ("--json", json_file), ("--markdown", markdown)]
    targets = [(option, path) for option, path in outputs if path is not None]
    check_outputs(targets, [documents, queries, qrels, query_log, model.embedder, place.config])
    wanted: dict[str, Any] = {
        "date_field": date_field,
        "query_log": query_log,
        "source": source,
        "languages": opt.split_names(languages),
    }
    stages = Stages(show=not quiet)
    asked: dict[str, Any] = {"queries": queries, "qrels": qrels, "query_language": query_language, "model": model}
    if place.index is not None or place.profile is not None:
        if documents is not None:
            raise InputError("--documents and --index exclude each other", allowed="an index, or files")
        settings = live.live_settings(
            place, index_fields, login,
            title_field=title_field, model=model.model, query_prefix=model.query_prefix,
            document_prefix=model.document_prefix,
        )  # fmt: skip
        data = _of_index(settings, asked, wanted, stages)
    elif documents is None or queries is None:
        # An audit can start from more than this command can.
        lacking = [name for name, path in (("--documents", documents), ("--queries", queries)) if path is None]
        raise InputError(
            f"no {' and no '.join(lacking)}", allowed="--documents FILE and --queries FILE, or --index NAME"
        )
    else:
        live.refuse_live(
            vars(login) | vars(place)
            | {name: getattr(index_fields, name) for name in ("embedding_field", "content_field", "language_map")},
            purpose="the gaps of an index",
        )  # fmt: skip
        from haystack_crossalign.api.gaps import gaps_of_files
        from haystack_crossalign.api.requests.files import FilesRequest

        request = FilesRequest(
            documents=documents,
            language_field=index_fields.language_field or "language",
            group_field=index_fields.group_field or "parallel_id",
            title_field=title_field,
            **asked,
        )
        with stages as progress:
            data = gaps_of_files(request, progress=progress, **wanted)
    from haystack_crossalign.report.gaps.listing import gaps_csv
    from haystack_crossalign.report.markdown import render_markdown_gaps

    texts = {
        "--csv": lambda: gaps_csv(data),
        "--json": lambda: json.dumps(data, ensure_ascii=False, allow_nan=False, indent=1) + "\n",
        "--markdown": lambda: render_markdown_gaps(data),
    }
    for option, path in targets:
        write_atomically(path, texts[option]())
    if quiet:
        return
    from haystack_crossalign.report.terminal import fitting, gaps_view

    out = console()
    for part in gaps_view(data, show):
        out.print(fitting(part, out))
    for _, path in targets:
        out.print(one_line(f"Wrote {path}"), soft_wrap=True, highlight=False, markup=False)


def _of_index(settings: Any, asked: dict[str, Any], wanted: dict[str, Any], stages: Stages) -> dict[str, Any]:
    from haystack_crossalign.api.gaps import gaps_of_index
    from haystack_crossalign.api.requests.index import IndexRequest
    from haystack_crossalign.cli.shared.terminal import say

    client = live.connect(settings)
    try:
        with stages as progress:
            return gaps_of_index(
                IndexRequest(settings=settings, **asked),
                client=client,
                progress=progress,
                say=lambda text: say(f"crossalign: {text}", err=True),
                **wanted,
            )
    finally:
        client.close()

"""`crossalign audit`: the user's own documents and queries, from files or in a live index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from haystack_crossalign.cli.shared import live_options as live
from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.groups import with_groups
from haystack_crossalign.cli.shared.terminal import say
from haystack_crossalign.errors import InputError

if TYPE_CHECKING:
    from haystack_crossalign.api.requests.files import FilesRequest
    from haystack_crossalign.audit.run import Embedder
    from haystack_crossalign.cli.shared.session import Session
    from haystack_crossalign.data.collection import JudgedCollection

Results = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Instead of a model: result lists of a search engine, as a TREC run."),
]


RunOrder = Annotated[
    str | None,
    typer.Option(
        "--run-order",
        metavar="score|rank",
        help="With --results: order of the run if scores and ranks contradict each other. Default: the scores, "
        "and an error if they mostly rise with the rank.",
    ),
]
Count = Annotated[
    str,
    typer.Option(
        metavar="versions|hits",
        help="With --results, --pipeline or --index: ranks in lists count versions, of which a list may hold several "
        "chunks, or hits, as users see them.",
    ),
]
Live = Annotated[
    str | None,
    typer.Option(
        "--live",
        metavar="knn,bm25,hybrid",
        help="With --index: the lists that users get. Default: knn. hybrid fuses both by ranks (hybrid:rrf); also "
        "hybrid:minmax, and the server's own hybrid:native-rrf, hybrid:native-minmax.",
    ),
]
LiveFields = Annotated[
    str | None,
    typer.Option(
        "--live-fields",
        metavar="NAMES",
        help="With --live bm25 or hybrid: the fields searched, with boosts, e.g. 'title^2,body'. Default: all, or "
        "--content-field.",
    ),
]
RequestFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--request",
        metavar="FILE",
        help="With --index: the lists of your own search, a JSON body with {{query}}, {{vector}}, {{language}}, "
        "{{size}}; or id and params of a search template. Repeatable.",
    ),
]
RequestSize = Annotated[
    int | None,
    typer.Option(
        "--request-size",
        min=1,
        metavar="N",
        help="With --request: number of documents that production requests. Default: the size in the body.",
    ),
]
PipelineFile = Annotated[
    Path | None,
    typer.Option(
        "--pipeline",
        metavar="FILE",
        help="The lists of a Haystack query pipeline in YAML, of any document store: over --index, --documents or "
        "--store.",
    ),
]
StoreFile = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="FILE",
        help="Instead of --documents: any Haystack document store in YAML, whose documents and vectors are read.",
    ),
]
IdField = Annotated[
    str | None,
    typer.Option(
        "--id-field",
        metavar="NAME",
        help="With --pipeline or --store: meta field with the ids of documents. Default: their own ids.",
    ),
]
Filter = Annotated[
    str | None,
    typer.Option(
        "--filter", metavar="JSON|FILE", help="With --index: only these documents; OpenSearch query or Haystack filter."
    ),
]
Sample = Annotated[
    float | None,
    typer.Option("--sample", metavar="SHARE", help="With --index: score only a random share of it, e.g. 0.05."),
]
Probes = Annotated[
    int | None,
    typer.Option("--probes", min=1, metavar="N", help="With --index and no queries: contents to make queries from."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="With --index: print the plan and stop.")]
State = Annotated[
    Path | None, typer.Option("--state", metavar="FILE", help="With --index: save finished work, to continue later.")
]
Resume = Annotated[
    Path | None, typer.Option("--resume", metavar="FILE", help="With --index: continue from the file of --state.")
]
ExpandGroups = Annotated[
    bool | None,
    typer.Option(
        "--expand-groups/--no-expand-groups",
        help="All versions of a relevant document are also relevant. Default: only with --index.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class LiveFlags:
    """Options that only an audit of an index has."""

    live_lists: Live = None
    live_fields: LiveFields = None
    request: RequestFiles = None
    request_size: RequestSize = None
    pipeline: PipelineFile = None
    id_field: IdField = None
    depth: live.Depth = None
    filter_: Filter = None
    sample: Sample = None
    probes: Probes = None
    exact: live.Exact = None
    max_load: live.MaxLoad = None
    concurrent: live.Concurrent = None
    batch: live.Batch = None
    dry_run: DryRun = False
    accept_model: live.AcceptModel = False
    state: State = None
    resume: Resume = None

    @property
    def requests(self) -> list[Path]:
        """The files of --request."""
        return self.request or []


@with_groups()
def audit(
    *,
    documents: opt.Documents = None,
    queries: opt.QueryFile = None,
    document_vectors: opt.DocumentVectors = None,
    query_vectors: opt.QueryVectors = None,
    qrels: opt.QrelsIn = None,
    workbench: opt.Workbench = None,
    beir: opt.Beir = None,
    split: opt.Split = "test",
    place: live.IndexFlags,
    only_live: LiveFlags,
    index_fields: live.FieldFlags,
    title_field: opt.TitleField = None,
    url_field: live.UrlField = None,
    login: live.LoginFlags,
    timeout: live.Timeout = None,
    patience: live.PatienceSeconds = None,
    query_prefix: live.QueryPrefix = None,
    document_prefix: live.DocumentPrefix = None,
    query_language: opt.QueryLanguage = None,
    expand_groups: ExpandGroups = None,
    detect_languages: opt.DetectLanguages = False,
    results: Results = None,
    run_order: RunOrder = None,
    store: StoreFile = None,
    count: Count = "versions",
    relevance_level: opt.RelevanceLevel = 1,
    skip_invalid: opt.SkipInvalid = False,
    model: opt.ModelFlags,
    languages: opt.Languages = None,
    pairs: opt.Pairs = None,
    flags: opt.AuditFlags,
) -> None:
    """Audit your own documents and queries: at which rank does each language version of the answer lie?

    With --index the documents are those of a live OpenSearch index, which is only read; without --queries, queries are
    made from the index itself.
    """
    if place.given:
        for option, value in (
            ("--documents", documents), ("--document-vectors", document_vectors), ("--query-vectors", query_vectors),
            ("--beir", beir), ("--results", results), ("--run-order", run_order), ("--store", store),
            ("--split", None if split == "test" else split), ("--detect-languages", detect_languages or None),
        ):  # fmt: skip
            if value is not None:
                raise InputError(f"{option} and --index exclude each other", allowed="an index, or files")
        if flags.run is not None:
            raise InputError(
                "an audit of an index keeps ranks, not whole rankings", source="--run", allowed="--json, --qrels-out"
            )
        flags.outputs.check(
            [queries, qrels, workbench, model.embedder, only_live.pipeline, place.config, only_live.state,
             only_live.resume, flags.fail_if_worse_than, *only_live.requests]
        )  # fmt: skip
        from haystack_crossalign.api.requests.index import IndexRequest
        from haystack_crossalign.cli.commands.audit_index import audit_live, read_lists
        from haystack_crossalign.opensearch.index.user_filter import read_filter

        index_request = IndexRequest(
            queries=queries,
            qrels=qrels,
            workbench=workbench,
            query_language=query_language,
            expand_groups=expand_groups,
            relevance_level=relevance_level,
            skip_invalid=skip_invalid,
            count=count,
            live=read_lists(only_live.live_lists, only_live.pipeline),
            live_fields=opt.split_names(only_live.live_fields) or (),
            requests=only_live.requests,
            request_size=only_live.request_size,
            pipeline=only_live.pipeline,
            id_field=only_live.id_field,
            user_filter=None if only_live.filter_ is None else read_filter(only_live.filter_),
            sample=only_live.sample,
            probes=only_live.probes,
            accept_model=only_live.accept_model,
            state=only_live.state,
            resume=only_live.resume,
            measured=flags.measured(languages, pairs, [file.stem for file in only_live.requests]),
            model=model,
        )
        if only_live.depth is not None and not index_request.lists:
            raise InputError(
                "has no effect here", source="--depth", allowed="--live, or --request-size for requests; or without it"
            )
        index_request.check()
        settings = live.live_settings(
            place, index_fields, login,
            title_field=title_field, url_field=url_field, timeout=timeout, patience=patience,
            model=model.model, query_prefix=query_prefix, document_prefix=document_prefix,
            depth=only_live.depth, max_load=only_live.max_load, concurrent=only_live.concurrent,
            batch=only_live.batch, exact=only_live.exact,
        )  # fmt: skip
        audit_live(replace(index_request, settings=settings), flags, dry_run=only_live.dry_run)
        return
    other: set[str] = set() if only_live.pipeline is None else {"pipeline", "id_field", "depth"}
    other |= set() if store is None else {"id_field"}
    other |= {"accept_model"} if results is None and only_live.pipeline is None else set()
    own = {name: value for name, value in vars(only_live).items() if name not in other}
    live.refuse_live(
        own | vars(login) | vars(place)
        | {name: getattr(index_fields, name) for name in ("embedding_field", "content_field", "language_map")}
        | {"timeout": timeout if only_live.pipeline is None and store is None else None, "patience": patience},
        also={"depth": "--pipeline FILE", "accept_model": "a model",
              **dict.fromkeys(("id_field", "timeout"), "--pipeline FILE or --store FILE")},
    )  # fmt: skip
    flags.outputs.check(
        [documents, queries, document_vectors, query_vectors, qrels, workbench, beir, model.embedder, results, store,
         only_live.pipeline, flags.fail_if_worse_than]
    )  # fmt: skip
    from haystack_crossalign.api.requests.files import FilesRequest

    request = FilesRequest(
        documents=documents,
        queries=queries,
        document_vectors=document_vectors,
        query_vectors=query_vectors,
        qrels=qrels,
        workbench=workbench,
        beir=beir,
        split=split,
        language_field=index_fields.language_field or "language",
        group_field=index_fields.group_field or "parallel_id",
        title_field=title_field,
        url_field=url_field,
        query_language=query_language,
        expand_groups=expand_groups,
        detect_languages=detect_languages,
        relevance_level=relevance_level,
        skip_invalid=skip_invalid,
        results=results,
        run_order=run_order,
        store=store,
        count=count,
        pipeline=only_live.pipeline,
        id_field=only_live.id_field,
        depth=only_live.depth or FilesRequest.depth,
        timeout=timeout or FilesRequest.timeout,
        accept_model=only_live.accept_model,
        measured=flags.measured(languages, pairs),
        model=model,
    )
    _audit_files(request, flags)


def _audit_files(request: FilesRequest, flags: opt.AuditFlags) -> None:
    from haystack_crossalign.api.collection import CollectionAudit, read_files, reading_log
    from haystack_crossalign.cli.shared.session import Session

    session = Session(flags)
    request.check()
    option = "--results" if request.results is not None else "--pipeline" if request.pipeline is not None else None
    if option is not None and flags.run is not None:
        raise InputError(
            "lists that a search engine returned are a run already", source="--run", allowed=f"{option} without --run"
        )
    log, of_store = reading_log(request.skip_invalid), None
    if request.store is None:
        collection = read_files(request, log=log)
    else:
        from haystack_crossalign.api.store import read_store

        with session.stages as progress:
            read = read_store(request, log=log, progress=progress)
        collection, of_store = read.collection, read.similarity
        _warn(read.notes)
    if option is not None:
        _audit_lists(request, collection, session)
        return
    audit = CollectionAudit(
        collection, request.measured, similarity=request.model.compared_by, of_store=of_store,
        described=request.described, accept_model=request.accept_model,
    )  # fmt: skip
    session.check_plan(audit.collection, audit.plan)
    if not audit.needs_model:
        sentence = request.model.unused("the files carry vectors")
        if sentence is not None:
            say(f"crossalign: {sentence}", err=True)
    encoder = request.model.open() if audit.needs_model else None
    session.run(audit, encoder)


def _audit_lists(request: FilesRequest, collection: JudgedCollection, session: Session) -> None:
    """Audit lists that a search engine or a pipeline returned."""
    from haystack_crossalign.api.collection import audit_lists, reading_log

    log = reading_log(request.skip_invalid)
    described, depth = request.described, None
    if request.results is not None:
        from haystack_crossalign.data.formats.run_files import read_run

        run = read_run(request.results, order=request.run_order, log=log)
    else:
        from haystack_crossalign.api.store import pipeline_lists

        opened: list[Embedder] = []

        def embedder() -> Embedder:
            opened.append(request.model.open())
            return opened[0]

        with session.stages as progress:
            lists = pipeline_lists(request, collection, embedder=embedder, progress=progress)
        given = collection.queries.vectors is not None
        why = "the queries carry vectors" if given else "the pipeline takes no vectors of queries"
        if not opened and (sentence := request.model.unused(why)) is not None:
            say(f"crossalign: {sentence}", err=True)
        run, depth, described = lists.run, lists.depth, {**described, "pipeline": lists.described}
        _warn(lists.notes)
    result = audit_lists(collection, run, request.measured, depth=depth, merged=request.count == "versions",
                         described=described, log=log)  # fmt: skip
    session.finish(result, collection)


def _warn(notes: Sequence[str]) -> None:
    for note in notes:
        say(f"crossalign: warning: {note}", err=True)

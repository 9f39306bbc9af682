"""`crossalign audit --index`: an audit of a live index, which is only read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from haystack_crossalign.cli.shared import live_options as live
from haystack_crossalign.cli.shared.options import split_names
from haystack_crossalign.cli.shared.outputs import Outputs
from haystack_crossalign.cli.shared.terminal import say
from haystack_crossalign.errors import CrossAlignError, InputError
from haystack_crossalign.models.names import DEFAULT_MODEL

if TYPE_CHECKING:
    from haystack_crossalign.audit.run import Embedder
    from haystack_crossalign.cli.shared.session import Session
    from haystack_crossalign.opensearch.audit.options import AuditOptions
    from haystack_crossalign.opensearch.audit.plan import Plan
    from haystack_crossalign.opensearch.audit.run import IndexAudit, RetrievalFactory
    from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
    from haystack_crossalign.opensearch.connection.settings import LiveSettings
    from haystack_crossalign.opensearch.index.pool import IndexView
    from haystack_crossalign.opensearch.live.queries import LiveQueries

RETRIEVALS = ("knn", "bm25", "hybrid")
_FILES_ONLY = {"documents": "--documents", "beir": "--beir", "results": "--results", "run_order": "--run-order"}
_INTERRUPTED = 130


def audit_live(given: Mapping[str, Any]) -> None:
    """Run the command with the parameters of `haystack_crossalign.cli.commands.audit.audit`.

    :param given: the parameters by name.
    :raises typer.Exit: 1 when the gate fails, 2 where a row has no figure, 3 for a partial result after a fault, 130
        for one after Ctrl-C.
    """
    from haystack_crossalign.cli.shared.prepare import ModelOptions, read_gate, read_measures
    from haystack_crossalign.cli.shared.session import Session

    for name, option in _FILES_ONLY.items():
        if given[name] is not None:
            raise InputError(f"{option} and --index exclude each other", allowed="an index, or files")
    outputs = Outputs(
        given["json_file"],
        given["run"],
        given["qrels_out"],
        given["report"],
        given["markdown"],
        given["junit"],
    )
    inputs = [given[name] for name in ("queries", "qrels", "workbench", "embedder", "pipeline", "config")]
    outputs.check([*inputs, given["state"], given["resume"]])
    ModelOptions.of(given).check()
    if given["run"] is not None:
        raise InputError(
            "an audit of an index keeps ranks, not whole rankings", source="--run", allowed="--json, --qrels-out"
        )
    if given["similarity"] is not None:
        raise InputError(
            "an index ranks by the space of its vector field, which the result names",
            source="--similarity",
            seen=given["similarity"],
            allowed="--index without --similarity",
        )
    if given["state"] is not None and given["resume"] is not None:
        raise InputError("--state begins a file, --resume goes on with one", allowed="one of them")
    # Both are checked again where they are used; here, before anything is asked of the cluster.
    if given["state"] is not None and given["state"].exists():
        raise InputError(
            "already exists", source="--state", seen=str(given["state"]), allowed="a new file, or --resume to go on"
        )
    if given["resume"] is not None and not given["resume"].is_file():
        raise InputError("no such file", source="--resume", seen=str(given["resume"]))
    settings = live.live_settings(given)
    names = _retrieval_names(given)
    session = Session(
        command="audit",
        outputs=outputs,
        conditions=read_gate(given["fail_on"], given["ties"]),
        measures=read_measures(given["measures"]),
        seed=given["seed"],
        samples=given["samples"],
        run_depth=given["run_depth"],
        texts=not given["no_texts"],
        quiet=given["quiet"],
    )
    options = _options(given, session)
    client = live.connect(settings)
    shown = len(client.notes)
    try:
        _audit(given, settings, options, names, session, client)
    finally:
        live.show_notes(client.notes[shown:])
        client.close()


def refuse_live_options(given: Mapping[str, Any]) -> None:
    """Refuse options that only an audit of an index has, where no index is named.

    :param given: the parameters of the command by name.
    :raises InputError: naming the first of them.
    """
    from haystack_crossalign.opensearch.connection.settings import SETTINGS, flag_of

    own = {"live_lists": "--live", "pipeline": "--pipeline", "filter_": "--filter", "sample": "--sample"}
    own |= {
        "id_field": "--id-field",
        "probes": "--probes",
        "state": "--state",
        "resume": "--resume",
        "config": "--config",
    }
    shared = {"model", "query_prefix", "document_prefix", "language_field", "group_field", "title_field"}
    own |= {name: flag_of(name) for name in SETTINGS if name in given and name not in shared}
    for name, option in own.items():
        if given[name] is not None:
            raise InputError(f"{option} is for an audit of an index", source=option, allowed="--index NAME with it")
    for name, option in {"dry_run": "--dry-run", "accept_model": "--accept-model"}.items():
        if given[name]:
            raise InputError(f"{option} is for an audit of an index", source=option, allowed="--index NAME with it")


def _audit(
    given: Mapping[str, Any],
    settings: LiveSettings,
    options: AuditOptions,
    names: Sequence[str],
    session: Session,
    client: ReadOnlyClient,
) -> None:
    from haystack_crossalign.opensearch.audit.run import IndexAudit
    from haystack_crossalign.opensearch.live.queries import with_vectors

    remarks: list[str] = []
    with session.stages as progress:
        audit = IndexAudit(
            client,
            settings,
            options,
            retrievals=_retrievals(names, given, settings, client, remarks),
            progress=progress,
        )
        audit.open()
        queries = _queries(given, settings, options, audit.view())
        session.check_live(audit.scenarios(queries), names)
        encoder = _checked_encoder(given, settings, audit, client, queries)
        queries, model = with_vectors(
            queries,
            encoder,
            lambda done, total: progress("Embedding queries", done, total),
        )
        plan = audit.plan(queries)
        audit.notes += remarks
    if given["dry_run"] or not session.quiet:
        _print_plan(plan, queries, settings)
    if given["dry_run"]:
        return
    with session.stages as progress:
        finished = audit.run(
            queries,
            plan=plan,
            state=given["resume"] or given["state"],
            resume=given["resume"] is not None,
            model=model,
            described=_described(given, settings, options, names),
            files=_files(given),
        )
    # Before the gate, which may end the command by itself.
    for sentence in finished.empty:
        typer.echo(f"crossalign: {sentence}", err=True)
    traffic = {name: vars(total) for name, total in client.traffic.totals.items()}
    session.finish_live(
        finished.result,
        queries,
        partial=finished.stopped is not None or bool(finished.empty),
        more={"plan": plan.to_dict(), "traffic": traffic, "notes": list(client.notes)},
    )
    if finished.stopped is not None:
        done = (finished.result.live or {})["partial"]
        told = f"the result is partial: {done['queries']} of {done['of']} queries"
        if isinstance(finished.stopped, CrossAlignError):
            say(f"crossalign: {finished.stopped}; {told}", err=True)
            raise typer.Exit(3)
        say(f"crossalign: {told}", err=True)
        raise typer.Exit(_INTERRUPTED)
    if finished.empty:
        raise typer.Exit(InputError.exit_code)


def _options(given: Mapping[str, Any], session: Session) -> AuditOptions:
    from haystack_crossalign.languages import normalise_language
    from haystack_crossalign.measures import parse_measure
    from haystack_crossalign.opensearch.audit.options import AuditOptions
    from haystack_crossalign.opensearch.index.user_filter import read_filter

    sample = given["sample"]
    if sample is not None and not 0 < sample < 1:
        raise InputError(
            "not a share of the documents", source="--sample", seen=sample, allowed="more than 0, less than 1"
        )
    languages = split_names(given["languages"])
    if languages is not None:
        languages = tuple(dict.fromkeys(normalise_language(name, source="--languages") for name in languages))
    pairs = given["pairs"]
    return AuditOptions(
        scenarios=split_names(given["scenario"]) or (),
        languages=languages,
        pairs=None if pairs is None else normalise_language(pairs, source="--pairs"),
        user_filter=None if given["filter_"] is None else read_filter(given["filter_"]),
        measures=None if session.measures is None else tuple(session.measures),
        also=tuple(parse_measure(condition.measure) for condition in session.conditions),
        sample=sample,
        samples=session.samples,
        seed=session.seed,
    )


def _retrieval_names(given: Mapping[str, Any]) -> tuple[str, ...]:
    if given["pipeline"] is not None:
        if given["live_lists"] is not None:
            raise InputError("--live and --pipeline exclude each other", allowed="one of them")
        return ("pipeline",)
    names = split_names(given["live_lists"]) if given["live_lists"] is not None else ("knn",)
    for name in names or ():
        if name not in RETRIEVALS:
            raise InputError("unknown list", source="--live", seen=name, allowed=", ".join(RETRIEVALS))
    return tuple(dict.fromkeys(names or ()))


def _retrievals(
    names: Sequence[str],
    given: Mapping[str, Any],
    settings: LiveSettings,
    client: ReadOnlyClient,
    remarks: list[str],
) -> RetrievalFactory:
    from haystack_crossalign.opensearch.live.lists import Bm25Retrieval, HybridRetrieval, KnnRetrieval

    limits: dict[str, Any] = {"batch": settings.batch, "concurrent": settings.concurrent}

    pipelines: list[Any] = []

    def make(view: IndexView, whole: bool) -> list[Any]:
        if "pipeline" in names:
            if not pipelines:
                pipelines.append(_pipeline(given, settings, client, view))
                remarks.extend(pipelines[0].notes)
                remarks.append("the pipeline searches the index as it is now, outside of the point in time")
                if given["filter_"] is not None:
                    remarks.append("--filter does not reach into the pipeline: its lists may hold what is outside")
            # A pipeline searches the index as it is, so only the whole of it can be asked for.
            return pipelines if whole else []
        knn, bm25 = KnnRetrieval(view, **limits), Bm25Retrieval(view, **limits)
        made = {"knn": knn, "bm25": bm25, "hybrid": HybridRetrieval(knn, bm25)}
        return [made[name] for name in names]

    return make


def _pipeline(given: Mapping[str, Any], settings: LiveSettings, client: ReadOnlyClient, view: IndexView) -> Any:
    from haystack_crossalign.pipelines.retriever import QueryPipeline

    return QueryPipeline.from_yaml(
        given["pipeline"],
        client=client,
        view=view,
        id_field=given["id_field"],
        language_field=settings.language_field,
        group_field=view.fields.group,
        timeout=settings.timeout,
        trust_remote_code=given["trust_remote_code"],
    )


def _queries(given: Mapping[str, Any], settings: LiveSettings, options: AuditOptions, view: IndexView) -> LiveQueries:
    if given["queries"] is None:
        if given["qrels"] is not None or given["workbench"] is not None:
            raise InputError("judgments without queries", source="--qrels", allowed="--queries FILE")
        from haystack_crossalign.opensearch.live.known_items import known_item_probes

        return known_item_probes(
            view,
            content_field=settings.content_field,
            title_field=settings.title_field,
            count=given["probes"] or 200,
            seed=options.seed,
            languages=options.languages,
        )
    from haystack_crossalign.cli.shared.prepare import reading_log
    from haystack_crossalign.opensearch.live.queries import read_live_queries

    expand = given["expand_groups"]
    return read_live_queries(
        given["queries"],
        view,
        qrels=given["qrels"],
        workbench=given["workbench"],
        language_field=settings.language_field,
        group_field=settings.group_field,
        default_language=given["query_language"],
        expand_groups=True if expand is None else expand,
        relevance_level=given["relevance_level"],
        log=reading_log(given["skip_invalid"]),
    )


def _checked_encoder(
    given: Mapping[str, Any],
    settings: LiveSettings,
    audit: IndexAudit,
    client: ReadOnlyClient,
    queries: LiveQueries,
) -> Embedder | None:
    """The model, once it is known to be the one that made the vectors; None where the queries bring theirs along."""
    from haystack_crossalign.opensearch.model.check import check_index_model, read_index_model

    if queries.vectors is not None:
        if settings.model is not None or given["embedder"] is not None:
            say("crossalign: the queries carry vectors, so no model is used", err=True)
        return None
    named = read_index_model(client, settings.index) or {}
    encoder: Embedder
    if given["embedder"] is not None:
        from haystack_crossalign.pipelines.embedder import PipelineEmbedder

        encoder = PipelineEmbedder.from_yaml(given["embedder"], trust_remote_code=given["trust_remote_code"])
    else:
        from haystack_crossalign.cli.shared.prepare import ModelOptions

        # A named prompt takes the place of a prefix that a profile has.
        prefixes = {
            f"{role}_prefix": getattr(settings, f"{role}_prefix")
            for role in ("query", "document")
            if given[f"{role}_prompt"] is None
        }
        encoder = ModelOptions.of(given).encoder(settings.model or str(named.get("name") or DEFAULT_MODEL), **prefixes)
    check = check_index_model(
        client,
        audit.view(),
        encoder,
        target=settings.index,
        seed=given["seed"],
        content_field=settings.content_field,
        title_field=settings.title_field,
    )
    # Texts that were embedded with something the index does not hold look like another model's. Another dimension is.
    if not given["accept_model"] or encoder.provenance().get("dimension") != audit.view().fields.vector.dimension:
        check.require()
    audit.notes += check.findings
    # The check embeds documents of the index; texts of the audit are the queries.
    return encoder.counting_anew() if hasattr(encoder, "counting_anew") else encoder


def _described(
    given: Mapping[str, Any], settings: LiveSettings, options: AuditOptions, names: Sequence[str]
) -> dict[str, Any]:
    """What the user chose, without the names of files."""
    return {
        **{name: value for name, value in settings.describe().items() if value is not None},
        "scenarios": list(options.scenarios),
        "languages": None if options.languages is None else list(options.languages),
        "pairs": options.pairs,
        "filter": options.user_filter,
        "live": list(names),
        "sample": options.sample,
        "samples": options.samples,
        "measures": given["measures"],
        "probes": given["probes"],
        "expand_groups": given["expand_groups"],
        **({} if given["relevance_level"] == 1 else {"relevance_level": given["relevance_level"]}),
        **({"skip_invalid": True} if given["skip_invalid"] else {}),
    }


def _files(given: Mapping[str, Any]) -> list[dict[str, str]]:
    from hashlib import sha256

    paths = [given[name] for name in ("queries", "qrels", "workbench", "pipeline") if given[name] is not None]
    return [{"name": path.name, "sha256": sha256(path.read_bytes()).hexdigest()} for path in paths]


def _print_plan(plan: Plan, queries: LiveQueries, settings: LiveSettings) -> None:
    from haystack_crossalign.report.content.live_words import plan_lines

    for line in plan_lines(plan.to_dict(), kind=queries.kind, index=settings.index):
        say(line)

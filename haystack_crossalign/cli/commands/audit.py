"""`crossalign audit`: the user's own documents and queries, from files or in a live index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from haystack_crossalign.cli.shared import live_options as live
from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.outputs import Outputs
from haystack_crossalign.cli.shared.terminal import say
from haystack_crossalign.errors import InputError

Results = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Instead of a model: the lists that a search engine returned, as a TREC run."),
]


RunOrder = Annotated[
    str | None,
    typer.Option(
        "--run-order",
        metavar="score|rank",
        help="With --results: what orders the run where scores and ranks contradict each other. Default: the scores, "
        "and an error where they mostly rise with the rank.",
    ),
]
Live = Annotated[
    str | None,
    typer.Option("--live", metavar="knn,bm25,hybrid", help="With --index: the lists that users get. Default: knn."),
]
PipelineFile = Annotated[
    Path | None,
    typer.Option(
        "--pipeline", metavar="FILE", help="With --index: the lists of a Haystack query pipeline in YAML, instead."
    ),
]
IdField = Annotated[
    str | None,
    typer.Option(
        "--id-field", metavar="NAME", help="With --pipeline: meta field with the ids that documents have in the index."
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
    typer.Option("--sample", metavar="SHARE", help="With --index: score a random share of it only, e.g. 0.05."),
]
Probes = Annotated[
    int | None,
    typer.Option("--probes", min=1, metavar="N", help="With --index and no queries: contents to make queries from."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="With --index: print the plan and stop.")]
AcceptModel = Annotated[
    bool,
    typer.Option(
        "--accept-model",
        help="With --index: go on where the model does not seem to be the index's; the result says so.",
    ),
]
State = Annotated[
    Path | None, typer.Option("--state", metavar="FILE", help="With --index: keep what is finished, to go on later.")
]
Resume = Annotated[
    Path | None, typer.Option("--resume", metavar="FILE", help="With --index: go on with what --state kept.")
]
ExpandGroups = Annotated[
    bool | None,
    typer.Option(
        "--expand-groups/--no-expand-groups",
        help="All versions of a relevant document are relevant too. Default: with --index only.",
    ),
]


def audit(
    documents: opt.Documents = None,
    queries: opt.QueryFile = None,
    qrels: opt.QrelsIn = None,
    workbench: opt.Workbench = None,
    beir: opt.Beir = None,
    split: opt.Split = "test",
    index: live.Index = None,
    profile: live.Profile = None,
    config: live.Config = None,
    hosts: live.Hosts = None,
    live_lists: Live = None,
    pipeline: PipelineFile = None,
    id_field: IdField = None,
    depth: live.Depth = None,
    filter_: Filter = None,
    sample: Sample = None,
    probes: Probes = None,
    max_load: live.MaxLoad = None,
    concurrent: live.Concurrent = None,
    batch: live.Batch = None,
    dry_run: DryRun = False,
    accept_model: AcceptModel = False,
    state: State = None,
    resume: Resume = None,
    embedding_field: live.EmbeddingField = None,
    language_field: live.LanguageField = None,
    group_field: live.GroupField = None,
    content_field: live.ContentField = None,
    title_field: opt.TitleField = None,
    auth: live.Auth = None,
    user: live.User = None,
    password_file: live.PasswordFile = None,
    token_file: live.TokenFile = None,
    api_key_file: live.ApiKeyFile = None,
    ca_file: live.CaFile = None,
    client_certificate: live.ClientCertificate = None,
    client_key: live.ClientKey = None,
    verify_tls: live.VerifyTls = None,
    aws_region: live.AwsRegion = None,
    aws_service: live.AwsService = None,
    timeout: live.Timeout = None,
    patience: live.PatienceSeconds = None,
    query_prefix: live.QueryPrefix = None,
    document_prefix: live.DocumentPrefix = None,
    query_language: opt.QueryLanguage = None,
    expand_groups: ExpandGroups = None,
    detect_languages: opt.DetectLanguages = False,
    results: Results = None,
    run_order: RunOrder = None,
    relevance_level: opt.RelevanceLevel = 1,
    skip_invalid: opt.SkipInvalid = False,
    model: opt.Model = None,
    embedder: opt.EmbedderFile = None,
    precision: opt.Precision = "auto",
    max_tokens: opt.MaxTokens = None,
    similarity: opt.SimilarityName = None,
    query_prompt: opt.QueryPrompt = None,
    document_prompt: opt.DocumentPrompt = None,
    pooling: opt.PoolingName = None,
    trust_remote_code: opt.TrustRemoteCode = False,
    languages: opt.Languages = None,
    pairs: opt.Pairs = None,
    scenario: opt.ScenarioNames = "multi",
    measures: opt.MeasureNames = None,
    fail_on: opt.FailOn = None,
    ties: opt.Ties = opt.TIES[0],
    seed: opt.Seed = 0,
    samples: opt.Samples = 1000,
    json_file: opt.JsonFile = None,
    report: opt.ReportFile = None,
    markdown: opt.MarkdownFile = None,
    junit: opt.JunitFile = None,
    run: opt.RunFile = None,
    run_depth: opt.RunDepth = 100,
    qrels_out: opt.QrelsFile = None,
    no_texts: opt.NoTexts = False,
    quiet: opt.Quiet = False,
) -> None:
    """Audit your own documents and queries: at which rank does each language version of the answer lie?

    With --index the documents are those of a live OpenSearch index, which is only read; without --queries, queries are
    made from the index itself.
    """
    given = locals()
    from haystack_crossalign.cli.commands.audit_index import audit_live, refuse_live_options

    if index is not None or profile is not None:
        audit_live(given)
        return
    refuse_live_options(given)
    from haystack_crossalign.cli.shared.prepare import (
        ModelOptions,
        prepare_plan,
        read_gate,
        read_judgments,
        read_measures,
        read_similarity,
        reading_log,
    )
    from haystack_crossalign.cli.shared.session import Session

    outputs = Outputs(json_file, run, qrels_out, report, markdown, junit)
    outputs.check([documents, queries, qrels, workbench, beir, embedder, results])
    model_options = ModelOptions.of(given)
    model_options.check()
    session = Session(
        command="audit",
        outputs=outputs,
        conditions=read_gate(fail_on, ties),
        measures=read_measures(measures),
        seed=seed,
        samples=samples,
        run_depth=run_depth,
        texts=not no_texts,
        quiet=quiet,
        similarity=read_similarity(similarity),
    )
    if run_order is not None and results is None:
        raise InputError("--run-order is for --results", source="--run-order", allowed="--results FILE with it")
    log = reading_log(skip_invalid)
    collection = read_judgments(
        documents,
        queries,
        qrels,
        workbench,
        beir,
        split=split,
        language_field=language_field or "language",
        group_field=group_field or "parallel_id",
        title_field=title_field,
        query_language=query_language,
        expand_groups=bool(expand_groups),
        detect=detect_languages,
        relevance_level=relevance_level,
        log=log,
    )
    chosen: dict[str, Any] = {
        "languages": languages,
        "measures": measures,
        "samples": samples,
        "expand_groups": bool(expand_groups),
        **({} if relevance_level == 1 else {"relevance_level": relevance_level}),
        **({"skip_invalid": True} if skip_invalid else {}),
    }
    if results is not None:
        if (
            any(value is not None for value in (model, embedder, similarity, languages, pairs, run))
            or scenario != "multi"
        ):
            raise InputError(
                "--results takes the place of a ranking of our own",
                source="--results",
                allowed="--results without --model, --embedder, --similarity, --languages, --pairs, --scenario, --run",
            )
        from haystack_crossalign.data.formats.run_files import read_run

        log = reading_log(skip_invalid)
        session.run_lists(collection, read_run(results, order=run_order, log=log), chosen, log)
        return
    collection, plan = prepare_plan(collection, scenario, languages, pairs)
    session.check_plan(collection, plan)
    needs_model = collection.documents.vectors is None or collection.queries.vectors is None
    if not needs_model and (model is not None or embedder is not None):
        say("crossalign: the files carry vectors, so no model is used", err=True)
    encoder = model_options.open() if needs_model else None
    session.run(collection, plan, encoder, {"scenarios": scenario, "pairs": pairs, **chosen})

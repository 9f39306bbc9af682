"""`crossalign audit`: the user's own documents and queries, from files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from haystack_crossalign.cli import options as opt
from haystack_crossalign.cli.outputs import Outputs
from haystack_crossalign.errors import InputError

Results = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Instead of a model: the lists that a search engine returned, as a TREC run."),
]


def audit(
    documents: opt.Documents = None,
    queries: opt.QueryFile = None,
    qrels: opt.QrelsIn = None,
    workbench: opt.Workbench = None,
    beir: opt.Beir = None,
    split: opt.Split = "test",
    language_field: opt.LanguageField = "language",
    group_field: opt.GroupField = "parallel_id",
    query_language: opt.QueryLanguage = None,
    expand_groups: opt.ExpandGroups = False,
    detect_languages: opt.DetectLanguages = False,
    results: Results = None,
    model: opt.Model = None,
    embedder: opt.EmbedderFile = None,
    precision: opt.Precision = "auto",
    max_tokens: opt.MaxTokens = None,
    languages: opt.Languages = None,
    pairs: opt.Pairs = None,
    scenario: opt.ScenarioNames = "multi",
    measures: opt.MeasureNames = None,
    fail_on: opt.FailOn = None,
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
    """Audit your own documents and queries: at which rank does each language version of the answer lie?"""
    from haystack_crossalign.cli.prepare import (
        check_model,
        open_embedder,
        prepare_plan,
        read_gate,
        read_judgments,
        read_measures,
    )
    from haystack_crossalign.cli.session import Session

    outputs = Outputs(json_file, run, qrels_out, report, markdown, junit)
    outputs.check([documents, queries, qrels, workbench, beir, embedder, results])
    check_model(model, embedder, precision, max_tokens)
    session = Session(
        command="audit",
        outputs=outputs,
        conditions=read_gate(fail_on),
        measures=read_measures(measures),
        seed=seed,
        samples=samples,
        run_depth=run_depth,
        texts=not no_texts,
        quiet=quiet,
    )
    collection = read_judgments(
        documents,
        queries,
        qrels,
        workbench,
        beir,
        split=split,
        language_field=language_field,
        group_field=group_field,
        query_language=query_language,
        expand_groups=expand_groups,
        detect=detect_languages,
    )
    chosen = {"languages": languages, "measures": measures, "samples": samples, "expand_groups": expand_groups}
    if results is not None:
        if any(value is not None for value in (model, embedder, languages, pairs, run)) or scenario != "multi":
            raise InputError(
                "--results takes the place of a ranking of our own",
                source="--results",
                allowed="--results without --model, --embedder, --languages, --pairs, --scenario and --run",
            )
        from haystack_crossalign.data.run_files import read_run

        session.run_lists(collection, read_run(results), chosen)
        return
    collection, plan = prepare_plan(collection, scenario, languages, pairs)
    session.check_plan(collection, plan)
    needs_model = collection.documents.vectors is None or collection.queries.vectors is None
    if not needs_model and (model is not None or embedder is not None):
        typer.echo("crossalign: the files carry vectors, so no model is used", err=True)
    encoder = open_embedder(model, embedder, precision=precision, max_tokens=max_tokens) if needs_model else None
    session.run(collection, plan, encoder, {"scenarios": scenario, "pairs": pairs, **chosen})

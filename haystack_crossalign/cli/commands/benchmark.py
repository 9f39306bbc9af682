"""`crossalign benchmark`: the parallel data sets of the field, XQuAD and Belebele."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.outputs import Outputs
from haystack_crossalign.errors import InputError

DATASETS = ("xquad", "belebele")
POOLS = ("passages", "questions")


def benchmark(
    dataset: Annotated[str, typer.Argument(metavar="xquad|belebele", help="The data set.")],
    languages: Annotated[str, typer.Option(metavar="en,zh,…", help="Languages of the pool and of the queries.")],
    data: Annotated[
        str,
        typer.Option(
            metavar="DIR|hf:NAME",
            help="Folder with its files (or what `datasets` saved), or its name on the hub: hf:google/xquad.",
        ),
    ],
    pool: Annotated[
        str,
        typer.Option(
            metavar="passages|questions", help="One document per distinct passage, or per question as in the paper."
        ),
    ] = "passages",
    model: opt.Model = None,
    embedder: opt.EmbedderFile = None,
    precision: opt.Precision = "auto",
    max_tokens: opt.MaxTokens = None,
    similarity: opt.SimilarityName = None,
    query_prefix: opt.QueryPrefix = None,
    document_prefix: opt.DocumentPrefix = None,
    query_prompt: opt.QueryPrompt = None,
    document_prompt: opt.DocumentPrompt = None,
    pooling: opt.PoolingName = None,
    trust_remote_code: opt.TrustRemoteCode = False,
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
    """Measure a model on XQuAD or Belebele: mixed pools, and pools of one language for the harm they would show."""
    given = locals()
    from haystack_crossalign.cli.shared.prepare import (
        ModelOptions,
        prepare_plan,
        read_benchmark,
        read_gate,
        read_measures,
        read_similarity,
    )
    from haystack_crossalign.cli.shared.session import Session

    if dataset not in DATASETS:
        raise InputError("unknown data set", source="benchmark", seen=dataset, allowed=", ".join(DATASETS))
    if pool not in POOLS:
        raise InputError("unknown pool", source="--pool", seen=pool, allowed=", ".join(POOLS))
    outputs = Outputs(json_file, run, qrels_out, report, markdown, junit)
    outputs.check([embedder, None if data.startswith("hf:") else Path(data)])
    model_options = ModelOptions.of(given)
    model_options.check()
    session = Session(
        command="benchmark",
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
    collection = read_benchmark(dataset, data, languages, pool)
    collection, plan = prepare_plan(collection, scenario, languages, pairs)
    session.check_plan(collection, plan)
    encoder = model_options.open()
    session.run(
        collection,
        plan,
        encoder,
        {
            "dataset": dataset,
            "pool": pool,
            "scenarios": scenario,
            "languages": languages,
            "pairs": pairs,
            "measures": measures,
            "samples": samples,
        },
    )

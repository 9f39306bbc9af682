"""`crossalign benchmark`: the parallel data sets of the field, XQuAD and Belebele."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.groups import with_groups
from haystack_crossalign.errors import InputError

DATASETS = ("xquad", "belebele")
POOLS = ("passages", "questions")


@with_groups()
def benchmark(
    *,
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
    model: opt.ModelFlags,
    pairs: opt.Pairs = None,
    asked: opt.AuditFlags,
) -> None:
    """Measure a model on XQuAD or Belebele: mixed pools, and pools of one language for the harm they would show."""
    if dataset not in DATASETS:
        raise InputError("unknown data set", source="benchmark", seen=dataset, allowed=", ".join(DATASETS))
    if pool not in POOLS:
        raise InputError("unknown pool", source="--pool", seen=pool, allowed=", ".join(POOLS))
    asked.outputs.check([model.embedder, None if data.startswith("hf:") else Path(data)])
    model.check()
    from haystack_crossalign.api.collection import CollectionAudit
    from haystack_crossalign.cli.shared.session import Session
    from haystack_crossalign.data.corpora.belebele import read_belebele
    from haystack_crossalign.data.corpora.xquad import read_xquad

    session, measured, similarity = Session(asked), asked.measured(languages, pairs), model.compared_by
    read = {"xquad": read_xquad, "belebele": read_belebele}[dataset]
    audit = CollectionAudit(
        read(data, opt.split_names(languages) or (), pool=pool),
        measured,
        similarity=similarity,
        described={"dataset": dataset, "pool": pool},
        command="benchmark",
    )
    session.check_plan(audit.collection, audit.plan)
    session.run(audit, model.open())

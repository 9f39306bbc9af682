"""`crossalign benchmark`: measure a model on a published corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.groups import with_groups
from haystack_crossalign.data.corpora.registry import CORPORA
from haystack_crossalign.errors import InputError

DATASETS = tuple(name for name, corpus in CORPORA.items() if corpus.judged)
POOLS = ("passages", "questions", "judged")


@with_groups()
def benchmark(
    *,
    dataset: Annotated[str, typer.Argument(metavar="CORPUS", help=", ".join(DATASETS[:-1]) + f" or {DATASETS[-1]}.")],
    languages: Annotated[str, typer.Option(metavar="en,zh,…", help="Languages of the pool and of the queries.")],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|hf:NAME",
            help="Folder of the published corpora, or of this one; or a name on the hub: hf:google/xquad. "
            "Default: the folder of CROSSALIGN_DATA.",
        ),
    ] = None,
    pool: Annotated[
        str,
        typer.Option(
            metavar="passages|questions|judged",
            help="One document per distinct passage, or per question as in the paper (xquad, belebele, mlqa); "
            "or only judged passages (miracl, mmarco).",
        ),
    ] = "passages",
    model: opt.FileModelFlags,
    pairs: opt.Pairs = None,
    flags: opt.AuditFlags,
) -> None:
    """Measure a model on a published corpus: mixed pools, and one-language pools that would show harm.

    `crossalign benchmark paper` puts the paper's whole evaluation of several models on one page; it has its own --help.
    """
    if dataset not in DATASETS:
        raise InputError("unknown data set", source="benchmark", seen=dataset, allowed=f"{', '.join(DATASETS)}, paper")
    if pool not in POOLS:
        raise InputError("unknown pool", source="--pool", seen=pool, allowed=", ".join(POOLS))
    folder = None if data is None or data.startswith("hf:") else Path(data)
    flags.outputs.check([model.embedder, folder, flags.fail_if_worse_than])
    model.check()
    from haystack_crossalign.api.collection import CollectionAudit
    from haystack_crossalign.cli.shared.session import Session
    from haystack_crossalign.data.corpora.collections import read_corpus
    from haystack_crossalign.data.corpora.registry import corpus_folder

    session, measured, similarity = Session(flags), flags.measured(languages, pairs), model.compared_by
    place = data if data is not None and data.startswith("hf:") else corpus_folder(dataset, data)
    audit = CollectionAudit(
        read_corpus(dataset, place, opt.split_names(languages) or (), pool=pool),
        measured,
        similarity=similarity,
        described={"dataset": dataset, "pool": pool},
        command="benchmark",
    )
    session.check_plan(audit.collection, audit.plan)
    session.run(audit, model.open())

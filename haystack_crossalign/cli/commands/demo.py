"""`crossalign demo`: audit the bundled sample with a real model, without a download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from haystack_crossalign.api.model_options import ModelOptions
from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.terminal import say
from haystack_crossalign.models.names import OFFLINE_MODELS

DEMO_MODEL = OFFLINE_MODELS[0]

_NEXT = """
What to do next
  Audit your own data:    crossalign audit --documents documents.jsonl --queries queries.jsonl --model MODEL
  Measure another model:  crossalign benchmark xquad --data DIR --languages en,zh --model MODEL
  Guard a deployment:     add --fail-on 'Max@R_norm<80%' and let your CI system run it
  See the change:         crossalign compare before.json after.json"""


def demo(
    model: Annotated[
        str, typer.Option(metavar="NAME", help="Another model: a hub name or a local folder.")
    ] = DEMO_MODEL,
    precision: opt.Precision = "auto",
    backend: opt.Backend = "torch",
    max_tokens: opt.MaxTokens = 256,
    trust_remote_code: opt.TrustRemoteCode = False,
    seed: opt.Seed = 0,
    json_file: opt.JsonFile = None,
    report: Annotated[Path, typer.Option(metavar="FILE", help="File for the report.")] = Path("report.html"),
    quiet: opt.Quiet = False,
) -> None:
    """Show the bias on a sample in six languages that ships with the package, with a real model; no download."""
    flags = opt.AuditFlags(
        # Both are shown, because each language is served well in its own pool, and only the mixed pool shows the bias.
        scenario="multi,mono-same",
        seed=seed,
        json_file=json_file,
        report=report,
        quiet=quiet,
    )
    flags.outputs.check()
    chosen = ModelOptions(
        model=model,
        precision=precision,
        backend=backend,
        max_tokens=max_tokens,
        trust_remote_code=trust_remote_code,
    )
    chosen.check()
    from haystack_crossalign.api.collection import CollectionAudit
    from haystack_crossalign.cli.shared.session import Session
    from haystack_crossalign.data.sample import read_sample

    session, collection = Session(flags), read_sample()
    audit = CollectionAudit(
        collection, flags.measured(None, "en"), described={"sample": collection.name}, command="demo"
    )
    session.run(audit, chosen.open())
    if not quiet:
        say(_NEXT, lines=True)

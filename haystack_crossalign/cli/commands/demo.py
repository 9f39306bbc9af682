"""`crossalign demo`: the sample that ships with the package, audited with a real model; no download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.outputs import Outputs
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
    max_tokens: opt.MaxTokens = 256,
    trust_remote_code: opt.TrustRemoteCode = False,
    seed: opt.Seed = 0,
    json_file: opt.JsonFile = None,
    report: Annotated[Path, typer.Option(metavar="FILE", help="Where the report goes.")] = Path("report.html"),
    quiet: opt.Quiet = False,
) -> None:
    """Show the bias on a sample in six languages that ships with the package, with a real model; no download."""
    from haystack_crossalign.audit.scenarios import plan_scenarios
    from haystack_crossalign.cli.shared.prepare import ModelOptions
    from haystack_crossalign.cli.shared.session import Session
    from haystack_crossalign.data.sample import read_sample

    outputs = Outputs(json=json_file, report=report)
    outputs.check()
    chosen = ModelOptions(model, None, precision, max_tokens, trust_remote_code=trust_remote_code)
    chosen.check()
    session = Session(
        command="demo",
        outputs=outputs,
        conditions=[],
        measures=None,
        seed=seed,
        samples=1000,
        run_depth=100,
        texts=True,
        quiet=quiet,
    )
    collection = read_sample()
    # Both together make the point: alone each language is served well, and only the mixed pool shows the bias.
    plan = plan_scenarios(["multi", "mono-same"], collection.document_languages, pairs="en")
    encoder = chosen.open()
    session.run(collection, plan, encoder, {"sample": collection.name, "pairs": "en", "samples": 1000})
    if not quiet:
        say(_NEXT, lines=True)

"""Options of `crossalign upgrade`, `rollback` and `cleanup`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.errors import InputError

Matrix = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Matrix file of a repair or a linear recipe: moves the vectors of the index."),
]
NewModel = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="The new model, in place of a matrix: every text is embedded anew."),
]
OldModel = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="The old model, to carry over documents written since the switch."),
]
Apply = Annotated[bool, typer.Option("--apply", help="Do it. Without this the plan is shown and nothing is written.")]
VectorFields = Annotated[
    str | None,
    typer.Option(metavar="NAME,…", help="Fields that get new vectors. Default: --embedding-field alone."),
]
KeepFields = Annotated[
    str | None,
    typer.Option(metavar="NAME,…", help="Other vector fields, whose vectors stay those of the old model."),
]
KeepOldVectors = Annotated[
    bool,
    typer.Option(
        "--keep-old-vectors",
        help="Leave the old vectors in their fields, and put the new ones into fields beside them, so that applications"
        " move one by one. crossalign cleanup --old-vectors ends it.",
    ),
]
Slice = Annotated[
    str | None, typer.Option("--slice", metavar="I/N", help="This process is number I of N that share the work.")
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Share the work over a Ray cluster: its address, auto for the one that this machine belongs to, or local.",
    ),
]
RayWorkers = Annotated[
    int | None, typer.Option("--ray-workers", min=1, metavar="N", help="Ray workers that share the work. Default: 2.")
]
RayGpus = Annotated[
    float | None,
    typer.Option("--ray-gpus", min=0.0, metavar="N", help="Accelerators of a Ray worker. Default: none."),
]
AcceptModel = Annotated[
    bool, typer.Option("--accept-model", help="Go on where nothing says that matrix and index belong together.")
]
NoWriteBlock = Annotated[
    bool,
    typer.Option(
        "--no-write-block", help="Block no writes for the last pass: what is written in these seconds may be lost."
    ),
]
Follow = Annotated[
    bool,
    typer.Option(
        "--follow", help="After the switch, convert documents that applications still write with the old model."
    ),
]
FollowIdle = Annotated[
    float | None,
    typer.Option(
        min=0.0, metavar="SECONDS", help="End following once no such document came for so long. Default: Ctrl-C."
    ),
]
Lease = Annotated[
    float, typer.Option(metavar="SECONDS", help="Silence after which another process's work is taken over.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

OldModelOfGate = Annotated[
    str | None,
    typer.Option(
        "--old-model",
        metavar="NAME",
        help="Model of the old index. Default: that of the profile, else the one that the index or the matrix names. "
        "For the gate and --follow.",
    ),
]
Probes = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Without --queries: contents of the index to make queries from.")
]
Tolerance = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        metavar="X",
        help="How much same-language NDCG@1 may fall, or one query where that is more; 0 accepts none.",
    ),
]
OwnFirst = Annotated[
    str | None,
    typer.Option(
        "--own-first",
        "--keep-own-first",
        metavar="X|off",
        help="How much the share of queries whose first hit is relevant and in their own language may fall; off "
        "accepts any. Default: 0.1, or one query where that is more.",
    ),
]
NoGate = Annotated[bool, typer.Option("--no-gate", help="Switch without an audit of old and new index.")]


@dataclass(frozen=True, kw_only=True)
class RayFlags:
    """Who shares the work, where it is a Ray cluster."""

    ray: Ray = None
    ray_workers: RayWorkers = None
    ray_gpus: RayGpus = None

    def check(self, *, apply: bool, part: str | None) -> None:
        """Refuse what goes with a Ray cluster only, and a slice beside one.

        :raises InputError: naming the option.
        """
        ray_options = {"--ray-workers": self.ray_workers, "--ray-gpus": self.ray_gpus}
        if self.ray is None:
            if option := next((name for name, value in ray_options.items() if value is not None), None):
                raise InputError(f"{option} is for workers of Ray", allowed="--ray ADDRESS")
            return
        if part is not None:
            raise InputError("--ray and --slice exclude each other", allowed="one of them")
        if not apply:
            raise InputError("--ray shares the work, and a plan has none", allowed="--ray ADDRESS --apply")


@dataclass(frozen=True, kw_only=True)
class GateFlags:
    """What the gate asks before the switch."""

    queries: opt.QueryFile = None
    qrels: opt.QrelsIn = None
    probes: Probes = None
    fail_on: opt.FailOn = None
    ties: opt.Ties = opt.TIES[0]
    tolerance: Tolerance = 0.005
    own_first: OwnFirst = None
    old_model: OldModelOfGate = None
    no_gate: NoGate = False
    report: opt.ReportFile = None

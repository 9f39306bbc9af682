"""`crossalign train`: fine-tune a model by a recipe, and show before and after."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.errors import InputError

if TYPE_CHECKING:
    from haystack_crossalign.training.outcome import TrainingOutcome

RecipeFile = Annotated[Path, typer.Option("--recipe", metavar="FILE", help="The recipe, in YAML.")]
Output = Annotated[
    Path, typer.Option("--output", metavar="DIR", help="Folder of the model: new, empty, or of an earlier run.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value, e.g. optimiser.learning_rate=1e-5. Repeatable."),
]
KeepOwnFirst = Annotated[
    float | None,
    typer.Option(
        "--keep-own-first",
        metavar="X",
        help="Keep only weights that lose at most X against the base model, in any language, of the share of queries "
        "whose first hit is relevant and in their own language; 0.02 is two points. Same as --set "
        "evaluate.keep_own_first=X. Default: any loss.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run from its last checkpoint.")]
OrAnew = Annotated[
    bool,
    typer.Option(
        "--or-anew",
        help="With --resume: start over if the recipe, the model, the data or the number of processes has changed.",
    ),
]


def train(
    recipe: RecipeFile,
    output: Output,
    settings: Settings = None,
    data: opt.CorporaFolder = None,
    keep_own_first: KeepOwnFirst = None,
    resume: Resume = False,
    or_anew: OrAnew = False,
    trust_remote_code: opt.TrustRemoteCode = False,
    quiet: opt.Quiet = False,
) -> None:
    """Fine-tune a model so that language versions of one text are found together.

    Several GPUs or hosts: accelerate launch --no_python crossalign train --recipe FILE --output DIR
    """
    from haystack_crossalign.signals import import_model_libraries
    from haystack_crossalign.training.output_folder import check_restart, recover_output
    from haystack_crossalign.training.packages import need_training_packages
    from haystack_crossalign.training.recipe.recipe import read_recipe

    if or_anew and not resume:
        raise InputError("only works with --resume", source="--or-anew", allowed="--resume --or-anew, or neither")
    if keep_own_first is not None and not 0 <= keep_own_first <= 1:
        raise InputError("out of range", source="--keep-own-first", seen=keep_own_first, allowed="0 to 1, such as 0.02")
    # Only the first of several processes prints.
    quiet = quiet or os.environ.get("RANK", "0") != "0"
    if os.environ.get("RANK", "0") == "0":
        recover_output(output.absolute())
        check_restart(output.absolute(), resume=resume, or_anew=or_anew)
    overrides = [*(settings or ()), *([] if keep_own_first is None else [f"evaluate.keep_own_first={keep_own_first}"])]
    read = read_recipe(recipe, overrides, corpora=data)
    # Errors in the recipe are reported before the slow imports.
    need_training_packages()
    import_model_libraries()
    from haystack_crossalign.training.trainer import train as run

    with _Bar(show=not quiet) as bar:
        outcome = run(
            read,
            output,
            resume=resume,
            or_anew=or_anew,
            progress=bar,
            trust_remote_code=trust_remote_code,
        )
    if not quiet:
        _print(outcome, output)


_EVERY = 30.0
"""Seconds between two lines where there is no terminal."""


class _Bar:
    """A progress bar with the loss terms on standard error; a line every 30 seconds where that is no terminal."""

    def __init__(self, *, show: bool, clock: Callable[[], float] = time.perf_counter) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[terms]}"),
            console=Console(stderr=True),
            transient=True,
            disable=not (show and sys.stderr.isatty()),
        )
        self._lines = show and not sys.stderr.isatty()
        self._clock = clock
        self._told = clock()
        self._started: dict[str, tuple[float, int]] = {}
        self._tasks: dict[str, Any] = {}

    def __call__(self, stage: str, done: int, total: int, terms: Mapping[str, float]) -> None:
        """Report progress."""
        if self._lines:
            self._tell(stage, done, total, terms)
        shown = "  ".join(f"{name} {value:.4f}" for name, value in terms.items() if name != "loss")
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total, terms=shown)
        self._bars.update(self._tasks[stage], completed=done, total=total, terms=shown)

    def _tell(self, stage: str, done: int, total: int, terms: Mapping[str, float]) -> None:
        from haystack_crossalign.cli.shared.terminal import say

        now = self._clock()
        started, first = self._started.setdefault(stage, (now, done))
        if now - self._told < _EVERY:
            return
        self._told = now
        parts = [f"crossalign: {stage}: step {done:,} of {total:,}"]
        parts += [f"{name} {value:.4f}" for name, value in terms.items()]
        if done > first:
            minutes, seconds = divmod(round((now - started) * (total - done) / (done - first)), 60)
            parts.append(f"{minutes} min {seconds} s left")
        say(", ".join(parts), err=True)

    def __enter__(self) -> _Bar:
        """Start drawing."""
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove the bars."""
        self._bars.stop()


def _print(outcome: TrainingOutcome, output: Path) -> None:
    from rich.table import Table

    from haystack_crossalign.cli.shared.terminal import console
    from haystack_crossalign.languages import display_name
    from haystack_crossalign.report.content.model import cut_lines
    from haystack_crossalign.report.content.words import measure_value
    from haystack_crossalign.report.training_html import (
        MULTI_MEASURES,
        own_first_sentence,
        start_kept,
        within_tolerance,
    )

    screen = console()
    result, kept = outcome.data["result"], outcome.data["kept"]
    if result is None:
        screen.print("Nothing was held out, so nothing was measured.", markup=False)
    else:
        repaired = outcome.data["start"]["kind"] == "repair"
        table = Table(title="Held-out data, before and after", title_justify="left")
        for name in ("pool and queries", "measure", "base", *(["repaired"] if repaired else []), "after"):
            table.add_column(name, justify="left" if name in ("pool and queries", "measure") else "right")
        for row in result["rows"]:
            for name in MULTI_MEASURES if row["scenario"] == "multi" else ("NDCG@1",):
                values = row["measures"][name]
                columns = ("base", "start", "after") if repaired else ("base", "after")
                table.add_row(
                    row["name"], name, *(measure_value(name, values[column], row["queries"]) for column in columns)
                )
        screen.print(table)
        if kept["share"] == 0:
            screen.print(start_kept(outcome.data), markup=False, soft_wrap=True)
        if result["unmeasured"]:
            unmeasured = ", ".join(display_name(tag) for tag in result["unmeasured"])
            screen.print(f"Too little was held out to measure {unmeasured}: harm to it is not known.", markup=False)
        screen.print(own_first_sentence(result), markup=False, soft_wrap=True)
        if not within_tolerance(result):
            lost = 100 * result["harm"]
            warning = f"Retrieval within one language lost up to {lost:.2f} points of NDCG@1 against the base."
            screen.print(warning, markup=False)
    for line in cut_lines(outcome.data["model"]):
        screen.print(line, markup=False)
    screen.print(f"Wrote {output}: the model, README.md, training.json, report.html", markup=False, soft_wrap=True)

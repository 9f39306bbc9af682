"""The program `crossalign`: its commands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from haystack_crossalign._version import __version__
from haystack_crossalign.cli.commands import (
    audit,
    benchmark,
    compare,
    convert,
    demo,
    doctor,
    repair,
    retrain,
    train,
    triplets,
)
from haystack_crossalign.errors import EXIT_CODE_FILE, CrossAlignError

__all__ = ["app", "main"]

INTERRUPTED = 130

app = typer.Typer(
    name="crossalign",
    help="Find, measure and repair language bias in multilingual search.",
    rich_markup_mode=None,  # plain help: drawing it with Rich would double the time of `crossalign --help`
    epilog="Exit codes: 0 done, 1 gate failed, 2 bad input or usage, 3 a fault outside, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="audit", short_help="Audit your own documents and queries.")(audit.audit)
app.command(name="benchmark", short_help="Measure a model on XQuAD or Belebele.")(benchmark.benchmark)
app.command(name="demo", short_help="Show the bias on a sample, with a real model.")(demo.demo)
app.command(name="train", short_help="Fine-tune a model by a recipe.")(train.train)
app.command(name="repair", short_help="Repair a model without training, in seconds.")(repair.repair)
app.command(name="retrain", short_help="Retrain, audit and publish a model, as a batch job.")(retrain.retrain)
app.command(name="doctor", short_help="Check whether a live index can be audited.")(doctor.doctor)
app.add_typer(triplets.app, name="triplets", short_help="Make training triplets: build, mine, translate, filter.")
app.command(name="compare", short_help="Compare two results, before and after.")(compare.compare)
app.command(name="convert", short_help="Convert judgments between formats.")(convert.convert)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"crossalign {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Find, measure and repair language bias in multilingual search."""


@contextmanager
def _ended_like_interrupted() -> Iterator[None]:
    """Schedulers and service managers end a program by SIGTERM: it cleans up and writes what it has as after Ctrl-C.

    Not so a process that a launcher has started: one that waits for others in a collective never comes to it, and the
    launcher ends it by SIGTERM.
    """

    def stop(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    launched = EXIT_CODE_FILE in os.environ or "LOCAL_RANK" in os.environ
    if launched or threading.current_thread() is not threading.main_thread():  # only there can signals be handled
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave by `SystemExit` with its exit code.

    :param arguments: arguments without the program's name; those of the process by default.
    """
    # Haystack reports its use over the network by default. A command that audits private data does not, and this must
    # be settled before Haystack is imported.
    os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        with _ended_like_interrupted():
            app(args=None if arguments is None else list(arguments), prog_name="crossalign")
    except CrossAlignError as error:
        typer.echo(f"crossalign: {error}", err=True)
        if file := os.environ.get(EXIT_CODE_FILE):
            with suppress(OSError):
                Path(file).write_text(str(error.exit_code), encoding="ascii")
        sys.exit(error.exit_code)
    except SystemExit as stop:
        # Typer turns Ctrl-C into this code and says nothing.
        if stop.code == INTERRUPTED:
            typer.echo("crossalign: interrupted", err=True)
        raise
    except OSError as error:
        if error.filename is None:
            _report_fault()
        # A path that the system refuses, wherever it was touched first: too long a name, no right to look.
        typer.echo(f"crossalign: {error.filename}: {error.strerror}", err=True)
        sys.exit(CrossAlignError.exit_code)
    except Exception:  # noqa: BLE001 - a fault of ours must not leave with 1, which says that the gate failed
        _report_fault()
    sys.exit(0)


def _report_fault() -> NoReturn:
    traceback.print_exc()
    typer.echo("crossalign: this is a fault of the program; please report it with the lines above", err=True)
    sys.exit(CrossAlignError.exit_code)

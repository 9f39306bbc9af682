"""The program `crossalign`: its commands, and the only place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from haystack_crossalign._version import __version__
from haystack_crossalign.cli.commands import (
    audit,
    benchmark,
    cleanup,
    convert,
    demo,
    doctor,
    gaps,
    repair,
    retrain,
    rollback,
    train,
    triplets,
    upgrade,
)
from haystack_crossalign.cli.commands.results import compare, history, paper
from haystack_crossalign.cli.commands.start import index, init
from haystack_crossalign.cli.shared.sections import SectionedCommand
from haystack_crossalign.cli.shared.terminal import lasting_streams, say
from haystack_crossalign.errors import EXIT_CODE_FILE, CrossAlignError, InputError
from haystack_crossalign.messages import one_line, shortened
from haystack_crossalign.models.quiet import announce_to
from haystack_crossalign.redaction import keep_environment_secrets

INTERRUPTED = 130
_LONGEST = 980
_WRONG_PATH = frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL})

# An empty text means: none.
_MAY_BE_EMPTY = frozenset(
    {"--title-field", "--query-prefix", "--document-prefix", "--query-prompt", "--document-prompt"}
)

app = typer.Typer(
    name="crossalign",
    help="Find, measure and repair language bias in multilingual search.",
    rich_markup_mode=None,  # plain help: rendering it with Rich would double the time of `crossalign --help`
    epilog="Exit codes: 0 done, 1 gate failed, 2 invalid input or usage, 3 external fault, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(name="audit", short_help="Audit your own documents and queries.")(audit.audit)
app.command(name="benchmark", short_help="Measure a model on a published corpus.")(benchmark.benchmark)
app.command(name="demo", short_help="Show the bias on a sample, with a real model.")(demo.demo)
app.command(name="train", short_help="Fine-tune a model by a recipe.")(train.train)
app.command(name="repair", short_help="Repair a model without training.")(repair.repair)
app.command(name="retrain", short_help="Retrain, audit and publish a model, as a batch job.")(retrain.retrain)
app.command(name="init", short_help="Write a profile for a live index.")(init.init)
app.command(name="index", short_help="Write documents into an index.")(index.index)
app.command(name="doctor", short_help="Check whether a live index can be audited.")(doctor.doctor)
app.command(name="upgrade", short_help="Bring new vectors to a running index.")(upgrade.upgrade)
app.command(name="rollback", short_help="Switch back to the index that an upgrade replaced.")(rollback.rollback)
app.command(name="cleanup", short_help="Delete the indices that upgrades left.")(cleanup.cleanup)
app.add_typer(triplets.app, name="triplets", short_help="Make training triplets: build, mine, translate, filter.")
app.command(name="compare", short_help="Compare results, before and after.")(compare.compare)
app.command(name="history", short_help="Show results over time.")(history.history)
app.command(name="gaps", short_help="List what is missing or old in a language.")(gaps.gaps)
app.command(name="convert", short_help="Convert judgments between formats.")(convert.convert)
for info in (*app.registered_commands, *triplets.app.registered_commands):
    info.cls = paper.BenchmarkCommand if info.name == "benchmark" else SectionedCommand


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"crossalign {__version__}")
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
    """Handle SIGTERM, by which schedulers and service managers end a program, like Ctrl-C: clean up and write finished
    work.

    This does not apply to processes of a launcher: one that waits in a collective operation never handles the signal,
    and the launcher ends it by SIGTERM.
    """

    def stop(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    launched = EXIT_CODE_FILE in os.environ or "LOCAL_RANK" in os.environ
    if (
        launched or threading.current_thread() is not threading.main_thread()
    ):  # signals can be handled only in the main thread
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and raise `SystemExit` with its exit code.

    :param arguments: arguments without the program's name; those of the process by default.
    """
    # Haystack reports its use over the network by default. A command that audits private data does not, and this must
    # be settled before Haystack is imported.
    os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    keep_environment_secrets(os.environ)
    with lasting_streams():
        try:
            outcome = _outcome(arguments)
        finally:
            announce_to(None)
        _leave(*outcome)


@cache
def _command() -> Callable[..., object]:
    """The command line, whose hundreds of options take Typer longer than most runs take to read theirs."""
    return typer.main.get_command(app)


def _outcome(arguments: Sequence[str] | None) -> tuple[int, str | None]:
    """The exit code of a run, and its message."""
    try:
        _refuse_empty(sys.argv[1:] if arguments is None else arguments)
        with _ended_like_interrupted():
            # Not standalone: Typer would print usage errors over several lines, quoting user input at any length.
            code = _command()(
                args=None if arguments is None else list(arguments), prog_name="crossalign", standalone_mode=False
            )
    except CrossAlignError as error:
        return error.exit_code, str(error)
    except SystemExit as stop:
        # A broken pipe, which Typer takes for the terminal's. That is handled elsewhere, so it was a connection.
        code = stop.code if isinstance(stop.code, int) and stop.code != 1 else CrossAlignError.exit_code
        return code, "a connection was closed by the other side"
    except OSError as error:
        if error.filename is None:
            return _fault()
        # A path that the system rejects: a name that is too long, or a missing permission.
        code = InputError.exit_code if error.errno in _WRONG_PATH else CrossAlignError.exit_code
        return code, f"{error.filename}: {error.strerror}"
    except Exception as error:  # noqa: BLE001 - our own faults must not exit with 1, which means that the gate failed
        return _usage(error) or _fault()
    code = code if isinstance(code, int) else 0
    # Typer turns Ctrl-C into this code without a message.
    return code, "interrupted" if code == INTERRUPTED else None


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse options without a value, such as ``--languages "$UNSET"`` of a script, which would mean something else.

    :raises InputError: naming the option.
    """
    for place, argument in enumerate(arguments):
        before = arguments[place - 1] if place else ""
        option, _, value = argument.partition("=") if "=" in argument else (before, "", argument)
        if option.startswith("--") and option not in _MAY_BE_EMPTY and not value.strip(" ,"):
            raise InputError("is empty", source=option, allowed="a value, or the command without the option")


def _leave(code: int, message: str | None) -> NoReturn:
    if message is not None:
        say(f"crossalign: {shortened(message, _LONGEST)}", err=True)
        if (file := os.environ.get(EXIT_CODE_FILE)) and code != INTERRUPTED:
            with suppress(OSError):
                Path(file).write_text(str(code), encoding="ascii")
    sys.exit(code)


def _usage(error: Exception) -> tuple[int, str | None] | None:
    """Code and message of an error raised by Typer; None for others. Its classes have moved between its versions."""
    if isinstance(error, typer.Abort):
        return INTERRUPTED, "interrupted"
    if not hasattr(error, "format_message") or not hasattr(error, "exit_code"):
        return None
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        say(error.format_message(), err=True, lines=True)
        return int(error.exit_code), None
    text = error.format_message().strip().rstrip(".")
    see = "" if context is None else f" (see {context.command_path} --help)"
    return int(error.exit_code), one_line(text, _LONGEST - len(see)) + see


def _fault() -> tuple[int, str]:
    say(traceback.format_exc(), err=True, lines=True)
    return CrossAlignError.exit_code, "this is a fault of the program; please report it with the lines above"

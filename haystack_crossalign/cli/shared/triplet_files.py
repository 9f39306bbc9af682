"""Common parts of the commands of `crossalign triplets`: languages, output files and messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.outputs import check_outputs
from haystack_crossalign.cli.shared.terminal import say
from haystack_crossalign.errors import InputError

if TYPE_CHECKING:
    from haystack_crossalign.data.triplets import Triplet
    from haystack_crossalign.files.reading import Source

Targets = Annotated[str, typer.Option("--languages", metavar="zh,ar,…", help="Target languages.")]
Output = Annotated[Path, typer.Option(metavar="FILE", help="Triplets as JSON Lines.")]
Counts = Annotated[Path | None, typer.Option("--report", metavar="FILE", help="Write the counts as JSON.")]
Language = Annotated[str, typer.Option(metavar="LANGUAGE", help="Language of queries and passages.")]

_OTHER_FORMATS = (".json", ".tsv", ".csv", ".parquet", ".gz")


def finish(
    command: str,
    output: Path,
    report: Path | None,
    triplets: Sequence[Triplet],
    sources: Iterable[Source],
    counts: Mapping[str, int],
    more: Mapping[str, Any] | None = None,
    *,
    quiet: bool,
) -> None:
    """Write triplets and counts, and print the counts.

    :param command: its name, for the report.
    :param output: the triplets' file.
    :param report: the counts' file, or None.
    :param triplets: the triplets.
    :param sources: files that were read.
    :param counts: what was counted, in order.
    :param more: further entries of the report; counts of ``left out``, ``rejected`` and ``dropped`` are also printed.
    :param quiet: print nothing.
    """
    from haystack_crossalign.data.formats.triplets import write_triplets
    from haystack_crossalign.files.writing import write_atomically

    write_triplets(output, triplets)
    if report is not None:
        values = {
            "schema": "crossalign.triplets/1",
            "command": command,
            "sources": [{"name": source.name, "sha256": source.sha256} for source in sources],
            "counts": dict(counts),
            **(more or {}),
        }
        write_atomically(report, json.dumps(values, indent=1, ensure_ascii=False) + "\n")
    if quiet:
        return
    for name, value in counts.items():
        say(f"{name}: {value:,}")
    for kind in ("left out", "rejected", "dropped"):
        for reason, value in (more or {}).get(kind, {}).items():
            say(f"{kind}, {reason}: {value:,}")
    for name in (more or {}).get("evaluation files not read", ()):
        say(f"not read: {name}")
    for path in (output, report):
        if path is not None:
            say(f"Wrote {path}")


@contextmanager
def errors_of(option: str) -> Iterator[None]:
    """Add the option of a value to input errors within the block."""
    try:
        yield
    except InputError as error:
        raise InputError(error.problem, source=option, seen=error.seen, allowed=error.allowed) from error


def target_tags(names: str, language: str) -> tuple[list[str], str]:
    """The target languages and the language of queries and passages."""
    from haystack_crossalign.languages import normalize_language

    own = normalize_language(language, source="--language")
    tags = [normalize_language(name, source="--languages") for name in opt.split_names(names) or ()]
    if not tags:
        raise InputError("no target language", source="--languages", allowed="one or more, for instance zh,ar")
    if own in tags:
        raise InputError(
            "the language of queries and passages (--language) is not a target language",
            source="--languages",
            seen=own,
            allowed="others",
        )
    return list(dict.fromkeys(tags)), own


def check_triplet_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[Path | None]) -> None:
    """Reject files that cannot be written, and names with the extension of another format, before any work is done.

    :param outputs: each file by its option; None if it is not requested.
    :param inputs: files and folders that are read.
    :raises InputError: as :func:`~haystack_crossalign.cli.shared.outputs.check_outputs`.
    """
    check_outputs([(option, path) for option, path in outputs.items() if path is not None], inputs)
    output = outputs["--output"]
    if output is not None and output.suffix in _OTHER_FORMATS:
        raise InputError(
            "triplets are written as JSON Lines", source="--output", seen=output.name, allowed="NAME.jsonl"
        )

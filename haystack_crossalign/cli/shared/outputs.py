"""Output files: checked before the work starts, and written atomically at the end."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from haystack_crossalign.errors import InputError
from haystack_crossalign.files.writing import resolved_file

_OPTIONS = {
    "json": "--json",
    "run": "--run",
    "qrels": "--qrels-out",
    "report": "--report",
    "markdown": "--markdown",
    "junit": "--junit",
    "metrics": "--metrics",
    "ndjson": "--ndjson",
}


def check_outputs(outputs: Iterable[tuple[str, Path]], inputs: Iterable[Path | None] = ()) -> None:
    """Refuse files that cannot be written, before any work is done and without touching them.

    :param outputs: each file with the option that asks for it.
    :param inputs: files and folders that are read, which no output may replace or be inside of.
    :raises InputError: for a folder, a missing or read-only folder, an input file, or one file asked for twice.
    """
    read = [resolved_file(path, source="input") for path in inputs if path is not None]
    taken: dict[Path, str] = {}
    for option, path in outputs:
        # The target of a link is written, so its folder must exist.
        place = resolved_file(path, source=option)
        there = place.exists()
        if path.is_dir():
            raise InputError("is a folder", source=option, seen=str(path), allowed="the name of a file")
        if path.name == "-" or (there and not path.is_file()):
            # A rename would put a file in the place of the device.
            raise InputError("is not a regular file", source=option, seen=str(path), allowed="the name of a file")
        if not place.parent.is_dir():
            raise InputError("no such folder", source=option, seen=str(place.parent), allowed="a folder that exists")
        if not os.access(place.parent, os.W_OK) or (there and not os.access(path, os.W_OK)):
            raise InputError("cannot be written", source=option, seen=str(path), allowed="a file you may write")
        inside = any(place == source or (source.is_dir() and source in place.parents) for source in read)
        other = "an input" if inside else taken.get(place)
        taken[place] = f"the file of {option}"
        if other is not None:
            raise InputError(
                f"would overwrite {other}", source=option, seen=str(path), allowed="a file of its own for each output"
            )


@dataclass(frozen=True)
class Outputs:
    """The files that a command writes; None for files that are not requested.

    :param json: the result.
    :param run: the ranking, as a TREC run.
    :param qrels: the relevant documents, as TREC qrels.
    :param report: the report, as HTML.
    :param markdown: the summary.
    :param junit: the gate's outcomes.
    :param metrics: the figures, as OpenMetrics.
    :param ndjson: the rows, as documents for a results index.
    """

    json: Path | None = None
    run: Path | None = None
    qrels: Path | None = None
    report: Path | None = None
    markdown: Path | None = None
    junit: Path | None = None
    metrics: Path | None = None
    ndjson: Path | None = None

    def check(self, inputs: Iterable[Path | None] = ()) -> None:
        """Refuse files that cannot be written, before any work is done and without touching them.

        :param inputs: files that are read, which no output may replace.
        :raises InputError: for a folder, a missing or read-only folder, an input file, or one file asked for twice.
        """
        check_outputs(self._targets(), inputs)

    def write(
        self,
        texts: Mapping[str, str],
        seconds: Mapping[str, float] | None = None,
        more: Mapping[str, object] | None = None,
    ) -> list[Path]:
        """Write texts to their files, atomically; times go to a file next to the JSON.

        :param texts: text by the name of the field of this class.
        :param seconds: seconds by stage, or None; separate from the result, so that equal input gives equal bytes.
        :param more: other data that differ between runs, for the file of the times: traffic, the plan.
        :returns: the files written.
        """
        from haystack_crossalign.files.writing import write_atomically

        written = []
        for name, path in self._named():
            if name in texts:
                write_atomically(path, texts[name])
                written.append(path)
        if self.json is not None and seconds is not None:
            times = {
                "schema": "crossalign.times/1",
                "seconds": {name: round(value, 3) for name, value in seconds.items()},
                **(more or {}),
            }
            write_atomically(_times_file(self.json), json.dumps(times, indent=1) + "\n")
            written.append(_times_file(self.json))
        return written

    def _targets(self) -> list[tuple[str, Path]]:
        """All files that may be written, with their options, including the times next to the JSON."""
        times = [] if self.json is None else [(_OPTIONS["json"], _times_file(self.json))]
        return [*times, *((_OPTIONS[name], path) for name, path in self._named())]

    def _named(self) -> list[tuple[str, Path]]:
        pairs = [(entry.name, getattr(self, entry.name)) for entry in fields(self)]
        return [(name, path) for name, path in pairs if path is not None]


def _times_file(path: Path) -> Path:
    return path.parent / f"{path.name.removesuffix('.json')}.times.json"

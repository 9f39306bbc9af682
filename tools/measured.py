"""Result files of benchmarks: words written by hand, a marker, and below it what the last run measured."""

from __future__ import annotations

from pathlib import Path

MARKER = "<!-- measured -->"


def replace_measured(path: Path, text: str) -> None:
    """Replace what stands below the marker, so that the words above it stay.

    :param path: the Markdown file; one that is not there is made, with nothing above the marker.
    :param text: what was measured.
    """
    above = path.read_text(encoding="utf-8").partition(MARKER)[0] if path.is_file() else ""
    path.write_text(f"{above}{MARKER}\n\n{text.rstrip()}\n", encoding="utf-8")

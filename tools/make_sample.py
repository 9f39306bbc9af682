"""Make the sample that ships with the package from the files of XQuAD.

    python tools/make_sample.py FOLDER_OF_XQUAD

Kept are English, Chinese, Arabic and Spanish; of the 240 passages every other one, and of each its first two
questions, in the SQuAD 1.1 format of the originals. The same input gives the same bytes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

LANGUAGES = ("ar", "en", "es", "zh")
EVERY = 2
QUESTIONS = 2
TARGET = Path(__file__).resolve().parent.parent / "haystack_crossalign" / "sample"


def sample(squad: dict[str, Any]) -> dict[str, Any]:
    """Every other passage of a SQuAD 1.1 file, counted over all articles, with its first questions."""
    articles = []
    number = 0
    for article in squad["data"]:
        paragraphs = []
        for paragraph in article["paragraphs"]:
            if number % EVERY == 0:
                paragraphs.append({"context": paragraph["context"], "qas": paragraph["qas"][:QUESTIONS]})
            number += 1
        articles.append({"title": article["title"], "paragraphs": paragraphs})
    return {"version": squad["version"], "data": articles}


def write_sample(source: Path, target: Path) -> None:
    """Write the sample of every language.

    :param source: folder with ``xquad.<language>.json``.
    :param target: folder that the sample is written to.
    """
    for language in LANGUAGES:
        name = f"xquad.{language}.json"
        squad = json.loads((source / name).read_text(encoding="utf-8"))
        text = json.dumps(sample(squad), ensure_ascii=False, indent=1, sort_keys=True)
        (target / name).write_text(text + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/make_sample.py FOLDER_OF_XQUAD")
    write_sample(Path(sys.argv[1]), TARGET)

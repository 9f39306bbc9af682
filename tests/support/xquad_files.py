"""Files in XQuAD's format, made of the package's sample: for tests of the format, not of XQuAD's texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from haystack_crossalign.data.sample import read_sample

LANGUAGES = ("ar", "en", "es", "zh")


def write_xquad(folder: Path, languages: Sequence[str] = LANGUAGES, passages: int | None = None) -> Path:
    """Write ``xquad.<language>.json`` for each language, with the articles that all of them have, in one order.

    Every other article keeps one of its two questions only, since the passages of XQuAD differ in that too.

    :param folder: where the files go; made where it is missing.
    :param languages: languages of the sample.
    :param passages: only the first so many articles; None for all.
    :returns: the folder.
    """
    sample = read_sample()
    texts: dict[tuple[str, str], list[str]] = {}
    for text, group, language in zip(
        sample.documents.texts, sample.documents.groups, sample.documents.languages, strict=True
    ):
        texts.setdefault((group, language), []).append(text)
    questions: dict[tuple[str, str], list[str]] = {}
    for query, (text, language) in enumerate(zip(sample.queries.texts, sample.queries.languages, strict=True)):
        group = sample.documents.groups[sample.relevant[query][0]]
        questions.setdefault((group, language), []).append(text)
    groups = [
        group
        for group in dict.fromkeys(sample.documents.groups)
        if all((group, language) in texts for language in languages)
    ][:passages]
    folder.mkdir(parents=True, exist_ok=True)
    for language in languages:
        paragraphs = [
            {
                "context": " ".join(texts[group, language]),
                "qas": [
                    {"id": f"{group}-{number}", "question": question, "answers": []}
                    for number, question in enumerate(questions[group, language][: 2 - place % 2])
                ],
            }
            for place, group in enumerate(groups)
        ]
        content = {"version": "1.1", "data": [{"title": "Help", "paragraphs": paragraphs}]}
        (folder / f"xquad.{language}.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return folder

"""Microsoft's open courses: lessons in Markdown, with translations by a language model in ``translations/<language>/``.

Repositories such as ``microsoft/Security-101`` on GitHub; that one has the license CC0, others MIT. A heading says what
its section is about; sections correspond if the headings of both versions have the same levels in the same order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source, TextFile, combined_source
from haystack_crossalign.languages import normalize_language

_SHORTEST = 120
"""Minimum length of an English section in characters; shorter ones contain little."""
_NO_LESSONS = frozenset(
    {"agents", "changelog", "code_of_conduct", "contributing", "license", "security", "study_guide", "support"}
)
# Folders named by codes that mean other languages as BCP-47 tags.
_FOLDERS: Mapping[str, str | None] = {"br": "pt", "hk": None, "mo": None, "tw": "zh-Hant"}
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_FENCE = re.compile(r"^\s*(```|~~~)")
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
_RULE = re.compile(r"^\s*([-*_])(\s*\1){2,}\s*$")
_MARKS = (
    (re.compile(r"!\[[^\]]*\]\([^)]*\)"), ""),  # images first, since links may contain them
    (re.compile(r"\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"<[^<>]+>"), ""),
    (re.compile(r"\*\*|__|`|~~"), ""),
    (re.compile(r"^\s*>\s?", re.MULTILINE), ""),
)


@dataclass(frozen=True)
class ParallelSection:
    """A passage under a heading, in several languages.

    :param id: unique; the parallel group.
    :param passages: per normalized tag.
    :param headings: by normalized tag; must include the source language.
    """

    id: str
    passages: Mapping[str, str]
    headings: Mapping[str, str] = field(default_factory=dict)


def read_course_repositories(
    folder: Path | str, languages: Sequence[str]
) -> tuple[tuple[ParallelSection, ...], Source]:
    """Read the sections of the lessons in English and other languages.

    :param folder: a folder with clones of the repositories.
    :param languages: the other languages, as normalized tags.
    :raises InputError: if no lesson has a translation, and for a file that is not UTF-8.
    """
    root = Path(folder)
    sections: list[ParallelSection] = []
    sources: list[Source] = []
    for translations in sorted(root.glob("*/translations")):
        repository = translations.parent
        folders = _language_folders(translations, languages)
        for path in sorted(repository.rglob("*.md")):
            name = path.relative_to(repository)
            if name.parts[0] == "translations" or path.stem.lower() in _NO_LESSONS:
                continue
            roots = {"en": path} | {tag: place / name for tag, place in folders.items() if (place / name).is_file()}
            texts = {tag: TextFile(path) for tag, path in roots.items()}
            read = {tag: list(_sections("\n".join(text for _, text in lines))) for tag, lines in texts.items()}
            sources += [lines.source for lines in texts.values()]
            levels = [level for level, _, _ in read["en"]]
            aligned = {tag: parts for tag, parts in read.items() if [level for level, _, _ in parts] == levels}
            for number, (_, _, passage) in enumerate(read["en"]):
                if len(passage) >= _SHORTEST:
                    versions = {tag: parts[number] for tag, parts in aligned.items()}
                    sections.append(
                        ParallelSection(
                            f"{repository.name}/{name.as_posix()}#{number}",
                            {tag: text for tag, (_, _, text) in versions.items() if text},
                            {tag: heading for tag, (_, heading, _) in versions.items() if heading},
                        )
                    )
    if not any(len(section.passages) > 1 for section in sections):
        raise InputError(
            "no translated lesson", source=root, seen=", ".join(languages),
            allowed="clones of the repositories, each with lesson.md and translations/<language>/lesson.md",
        )  # fmt: skip
    return tuple(sections), combined_source("Microsoft course sections", sources)


def _language_folders(translations: Path, languages: Sequence[str]) -> dict[str, Path]:
    folders: dict[str, Path] = {}
    for place in sorted(translations.iterdir(), key=lambda folder: (len(folder.name), folder.name)):
        try:
            tag = _FOLDERS[place.name] if place.name in _FOLDERS else normalize_language(place.name)
        except InputError:
            continue
        if tag is not None and tag in languages and place.is_dir():
            folders.setdefault(tag, place)
    return folders


def _sections(text: str) -> Iterator[tuple[int, str, str]]:
    """Level of the heading, heading and passage of each section; text before the first heading is left out."""
    current: tuple[int, str] | None = None
    lines: list[str] = []
    fenced = False
    for line in _COMMENT.sub("", text).split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
            continue
        heading = None if fenced else _HEADING.match(line)
        if heading is None:
            if not fenced and not line.lstrip().startswith("|"):
                lines.append(line)
            continue
        if current is not None:
            yield *current, _plain(lines)
        current, lines = (len(heading[1]), _plain([heading[2]])), []
    if current is not None:
        yield *current, _plain(lines)


def _plain(lines: list[str]) -> str:
    """The text without Markdown and without the translator's disclaimer after the last horizontal rule."""
    rules = [number for number, line in enumerate(lines) if _RULE.match(line)]
    if rules and "co-op-translator" in "\n".join(lines[rules[-1] :]).lower():
        lines = lines[: rules[-1]]
    text = "\n".join(line for line in lines if not _RULE.match(line))
    for mark, instead in _MARKS:
        text = mark.sub(instead, text)
    return " ".join(text.split())

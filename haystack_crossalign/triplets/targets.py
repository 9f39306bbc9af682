"""Filter the targets of triplets one by one, and read the texts of an evaluation set."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from haystack_crossalign.data.triplets import Triplet
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.compressed import plain_name
from haystack_crossalign.files.reading import Source, TextFile, parse_json_object, read_json, unreadable
from haystack_crossalign.triplets.filters import Filter

_SUFFIXES = (".json", ".jsonl", ".tsv", ".csv", ".txt")


@dataclass(frozen=True)
class FilteredTargets:
    """The remaining triplets, and what was dropped.

    :param triplets: triplets with the targets that passed; those without any are dropped.
    :param dropped: number of targets dropped by reason, in the order of the filters; each is counted once.
    :param languages: the same by reason and target language.
    :param examples: ids (``triplet:language``) of the first ones per reason.
    """

    triplets: tuple[Triplet, ...]
    dropped: Mapping[str, int]
    languages: Mapping[str, Mapping[str, int]]
    examples: Mapping[str, tuple[str, ...]]


def filter_targets(triplets: Sequence[Triplet], filters: Sequence[Filter], *, examples: int = 5) -> FilteredTargets:
    """Run filters one after the other on every target separately, so that a bad translation does not affect good ones.

    :param triplets: the triplets.
    :param filters: with different names.
    :param examples: number of ids to keep per reason.
    :raises InputError: if two filters have the same name.
    """
    parts = [(place, part) for place, triplet in enumerate(triplets) for part in triplet.per_language()]
    dropped, shown, languages = dict[str, int](), dict[str, tuple[str, ...]](), dict[str, dict[str, int]]()
    if len({each.name for each in filters}) < len(filters):
        raise InputError("filters need different names", field="filters", seen=[each.name for each in filters])
    for each in filters:
        verdicts = each.rejects([part for _, part in parts])
        gone = [part for (_, part), rejected in zip(parts, verdicts, strict=True) if rejected]
        parts = [pair for pair, rejected in zip(parts, verdicts, strict=True) if not rejected]
        dropped[each.name] = len(gone)
        shown[each.name] = tuple(part.id for part in gone[:examples])
        languages[each.name] = dict(sorted(Counter(tag for part in gone for tag in part.targets).items()))
    kept: dict[int, list[str]] = {}
    for place, part in parts:
        kept.setdefault(place, []).extend(part.targets)
    left = tuple(_only(triplets[place], kept[place]) for place in sorted(kept))
    return FilteredTargets(left, dropped, languages, shown)


@dataclass(frozen=True)
class EvaluationFiles:
    """The files of an evaluation set.

    :param read: files whose texts can be read.
    :param skipped: other files of the folders, which are ignored.
    """

    read: tuple[Path, ...]
    skipped: tuple[Path, ...]


def find_evaluation_files(paths: Iterable[str | Path]) -> EvaluationFiles:
    """Find the evaluation files in paths; folders are searched recursively, in the order of file names.

    :param paths: files and folders. Links are followed; hidden files and folders are ignored.
    :raises InputError: for a file that does not exist or has an unknown format, and a folder without readable files.
    """
    read: list[Path] = []
    skipped: list[Path] = []
    for path in map(Path, paths):
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except OSError as error:
            raise unreadable(path, error) from error
        if is_folder:
            files = sorted(_files_below(path))
            known = [file for file in files if plain_name(file).suffix in _SUFFIXES]
            if not known:
                raise InputError("no files in the folder", source=path, allowed=", ".join(_SUFFIXES))
            read += known
            skipped += [file for file in files if plain_name(file).suffix not in _SUFFIXES]
        elif plain_name(path).suffix in _SUFFIXES:
            read.append(path)
        else:
            raise InputError("unknown file format", source=path, seen=path.suffix, allowed=", ".join(_SUFFIXES))
    return EvaluationFiles(tuple(read), tuple(skipped))


def _files_below(folder: Path) -> Iterator[Path]:
    seen: set[Path] = set()  # a link may lead back to a folder that contains it
    for place, folders, names in os.walk(folder, followlinks=True):
        real = Path(place).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place) / name for name in names if not name.startswith("."))


def evaluation_texts(files: Iterable[Path]) -> tuple[list[str], list[Source]]:
    """Read all texts of an evaluation set, so that overlapping triplets can be dropped.

    :param files: as from :func:`find_evaluation_files`: JSON or JSON Lines, in which every string counts (SQuAD's
        format, judgments, triplets, …), and TSV, CSV or text, in which every line counts.
    :returns: the texts, and the names of the files and their hashes.
    :raises InputError: for a file that cannot be read.
    """
    texts: list[str] = []
    sources = []
    for path in files:
        if plain_name(path).suffix == ".json":
            value, source = read_json(path)
            texts += _strings(value)
        else:
            file = TextFile(path)
            for number, text in file:
                whole = plain_name(path).suffix != ".jsonl"
                texts += text.split("\t") if whole else _strings(parse_json_object(text, path, number))
            source = file.source
        sources.append(source)
    return texts, sources


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)


def _only(triplet: Triplet, tags: Sequence[str]) -> Triplet:
    targets = {tag: text for tag, text in triplet.targets.items() if tag in tags}
    queries = {tag: text for tag, text in triplet.target_queries.items() if tag in targets}
    return replace(triplet, targets=targets, target_queries=queries)

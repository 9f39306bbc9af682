"""Filters on triplets of several targets, each target judged on its own, and the texts of an evaluation set."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from haystack_crossalign.data.files import TextFile, parse_json_object
from haystack_crossalign.errors import InputError
from haystack_crossalign.training.filters import Filter
from haystack_crossalign.training.triplets import Triplet

__all__ = ["FilteredTargets", "evaluation_texts", "filter_targets"]

_SUFFIXES = (".json", ".jsonl", ".tsv", ".txt")


@dataclass(frozen=True)
class FilteredTargets:
    """What is left, and what was dropped why.

    :param triplets: triplets with the targets that passed; those without any are gone.
    :param dropped: targets dropped, per reason, in the order of the filters; each is counted once.
    :param languages: the same, per reason and target language.
    :param examples: ids (``triplet:language``) of the first ones per reason.
    """

    triplets: tuple[Triplet, ...]
    dropped: Mapping[str, int]
    languages: Mapping[str, Mapping[str, int]]
    examples: Mapping[str, tuple[str, ...]]


def filter_targets(triplets: Sequence[Triplet], filters: Sequence[Filter], *, examples: int = 5) -> FilteredTargets:
    """Run filters one after the other on every target by itself: a bad translation does not cost the good ones.

    :param triplets: the triplets.
    :param filters: with different names.
    :param examples: how many ids to keep per reason.
    :raises InputError: when two filters have one name.
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


def evaluation_texts(path: str | Path) -> Iterator[str]:
    """Every text of an evaluation set, so that triplets that overlap with it can be dropped.

    :param path: a JSON or JSON lines file, of which every string counts wherever it stands (SQuAD's format, judgments,
        triplets, …); a TSV or text file, of which every line counts; or a folder of such files.
    :raises InputError: for a file that cannot be read, another kind of file, and a folder without files.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(each for each in path.iterdir() if each.suffix in _SUFFIXES and each.is_file())
        if not files:
            raise InputError("no files in the folder", source=path, allowed=", ".join(_SUFFIXES))
        for file in files:
            yield from evaluation_texts(file)
        return
    if path.suffix not in _SUFFIXES:
        raise InputError("unknown file format", source=path, seen=path.suffix, allowed=", ".join(_SUFFIXES))
    lines = TextFile(path)
    if path.suffix == ".json":
        try:
            yield from _strings(json.loads("\n".join(text for _, text in lines)))
        except json.JSONDecodeError as error:
            raise InputError(f"not valid JSON ({error.msg})", source=path, line=error.lineno) from error
        except RecursionError as error:
            raise InputError("nested too deeply", source=path) from error
        return
    for number, text in lines:
        if path.suffix == ".jsonl":
            yield from _strings(parse_json_object(text, path, number))
        else:
            yield from text.split("\t")


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

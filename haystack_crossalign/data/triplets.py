"""Training triplets: a query, its passage, the same passage in other languages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from haystack_crossalign.errors import InputError


@dataclass(frozen=True)
class Triplet:
    """A training example; with several targets it represents one triplet per language.

    :param id: name of the example in reports.
    :param group: parallel group of the passage: examples of one group are never in one batch.
    :param language: normalized tag of query and passage.
    :param query: the query.
    :param passage: its passage.
    :param targets: the passage in other languages, per normalized tag.
    :param target_queries: the query in some of those languages.
    """

    id: str
    group: str
    language: str
    query: str
    passage: str
    targets: Mapping[str, str]
    target_queries: Mapping[str, str] = field(default_factory=dict)

    def per_language(self) -> list[Triplet]:
        """One triplet for each target language, in the order of the tags; all keep the group."""
        return [
            Triplet(
                id=f"{self.id}:{tag}",
                group=self.group,
                language=self.language,
                query=self.query,
                passage=self.passage,
                targets={tag: self.targets[tag]},
                target_queries={tag: self.target_queries[tag]} if tag in self.target_queries else {},
            )
            for tag in sorted(self.targets)
        ]


def with_unique_ids(triplets: Iterable[Triplet]) -> list[Triplet]:
    """Make the ids of triplets from several files unique by appending numbers to later duplicates.

    :param triplets: in order; the first with an id keeps it.
    """
    triplets = list(triplets)
    taken = {triplet.id for triplet in triplets}
    seen: set[str] = set()
    renamed = []
    for triplet in triplets:
        identifier, number = triplet.id, 2
        if identifier in seen:
            while (identifier := f"{triplet.id}~{number}") in taken:
                number += 1
            taken.add(identifier)
        seen.add(identifier)
        renamed.append(triplet if identifier == triplet.id else replace(triplet, id=identifier))
    return renamed


UNWANTED = "without a wanted language"
"""Reason under which triplets left out by `restricted` are counted."""


def restricted(triplets: Iterable[Triplet], language: str, languages: Sequence[str]) -> tuple[Triplet, ...]:
    """Triplets in a language, reduced to some target languages; those without any are left out.

    :param triplets: of any languages.
    :param language: of query and passage.
    :param languages: target languages; empty for all.
    """
    kept = []
    for triplet in triplets:
        targets = {tag: triplet.targets[tag] for tag in languages or triplet.targets if tag in triplet.targets}
        if triplet.language == language and targets:
            queries = {tag: text for tag, text in triplet.target_queries.items() if tag in targets}
            kept.append(replace(triplet, targets=targets, target_queries=queries))
    return tuple(kept)


def turned(triplets: Iterable[Triplet], language: str) -> tuple[Triplet, ...]:
    """The same texts as triplets of another language: its target and target query become passage and query, and the
    former passage and query a target. Triplets without both are left out.

    :param triplets: of any languages.
    :param language: normalized tag of the new query and passage.
    """
    made = []
    for triplet in triplets:
        if triplet.language == language:
            made.append(triplet)
        elif language in triplet.targets and language in triplet.target_queries:
            targets, queries = dict(triplet.targets), dict(triplet.target_queries)
            passage, query = targets.pop(language), queries.pop(language)
            targets[triplet.language], queries[triplet.language] = triplet.passage, triplet.query
            made.append(
                replace(triplet, language=language, query=query, passage=passage, targets=targets,
                        target_queries=queries)
            )  # fmt: skip
    return tuple(made)


def by_passage(triplets: Iterable[Triplet]) -> list[Triplet]:
    """One triplet for each passage of a parallel group, with the targets of all its triplets: files may have a row per
    language.

    :param triplets: in order. A passage keeps the id, query and target queries of its first triplet, and the first
        target of each language.
    """
    by_key: dict[tuple[str, str], Triplet] = {}
    for triplet in triplets:
        key = (triplet.group, triplet.passage)
        known = by_key.setdefault(key, triplet)
        more = {tag: text for tag, text in triplet.targets.items() if tag not in known.targets}
        if more:
            by_key[key] = replace(known, targets={**known.targets, **more})
    return list(by_key.values())


def joined(triplets: Iterable[Triplet]) -> tuple[Triplet, ...]:
    """Merge triplets with the same query and passage: files may have a row per language.

    :param triplets: in order; the id is that of the first one. A second target of the same language is kept in a
        separate triplet.
    """
    by_key: dict[tuple[str, str, str, int], Triplet] = {}
    for triplet in triplets:
        for number in count():
            key = (triplet.group, normalized(triplet.query), normalized(triplet.passage), number)
            known = by_key.get(key)
            if known is None:
                by_key[key] = triplet
            elif known.targets.keys().isdisjoint(triplet.targets):
                queries = {**known.target_queries, **triplet.target_queries}
                by_key[key] = replace(known, targets={**known.targets, **triplet.targets}, target_queries=queries)
            else:
                continue
            break
    return tuple(by_key.values())


def require_languages(
    triplets: Iterable[Triplet], languages: Sequence[str], use: str, *, source: str | None = None
) -> None:
    """Reject target languages that no triplet has, which no later step would report.

    :param triplets: the triplets.
    :param languages: required target languages.
    :param use: what the triplets are used for, after "no triplet".
    :param source: option that names the languages; None if the caller adds it.
    :raises InputError: naming the languages without triplets, and those with some.
    """
    there = {tag for triplet in triplets for tag in triplet.targets}
    missing = [tag for tag in languages if tag not in there]
    if missing:
        raise InputError(
            f"no triplet {use} in a target language",
            source=source,
            seen=", ".join(missing),
            allowed=", ".join(tag for tag in languages if tag in there) or "languages of the data",
        )


def normalized(text: str) -> str:
    """Normalize a text so that differences in case and white space do not matter."""
    return " ".join(text.casefold().split())


def article_of(group: str) -> str:
    """The article of a parallel group: the part of its id before the last ``:`` or ``#``.

    In a URL such as ``https://host:80/page``, only a colon after the last slash counts.
    """
    begin = group.rfind("/") if "://" in group else 0
    cut = max(group.rfind(":", begin), group.rfind("#"))
    return group[:cut] if cut > 0 else group


def columns(
    triplets: Sequence[Triplet], target_languages: Sequence[str], *, target_queries: bool = False
) -> dict[str, list[str]]:
    """Convert triplets to the columns for :class:`~haystack_crossalign.training.losses.joint.CrossAlignLoss`.

    :param triplets: each with all of the languages.
    :param target_languages: order of the target columns.
    :param target_queries: add the columns of target-language queries.
    :returns: ``query``, ``passage``, ``target_<tag>``, ..., ``query_<tag>``, ... in that order.
    :raises InputError: if a triplet lacks one of the languages.
    """
    laid: dict[str, list[str]] = {"query": [], "passage": []}
    laid |= {f"target_{tag}": [] for tag in target_languages}
    laid |= {f"query_{tag}": [] for tag in target_languages if target_queries}
    for triplet in triplets:
        laid["query"].append(triplet.query)
        laid["passage"].append(triplet.passage)
        for tag in target_languages:
            for column, texts in (("target", triplet.targets), ("query", triplet.target_queries)):
                if column == "query" and not target_queries:
                    continue
                if tag not in texts:
                    raise InputError(
                        f"triplet {triplet.id} has no {column} in language {tag}", field="target_languages"
                    )
                laid[f"{column}_{tag}"].append(texts[tag])
    return laid

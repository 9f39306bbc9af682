"""Scenarios: combinations of a pool and a query language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from haystack_crossalign.data.check import certain_query
from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.join import CERTAIN
from haystack_crossalign.data.reading_log import ReadingLog
from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import UNDETERMINED, normalize_language

SCENARIOS = ("multi", "mono-same", "mono-cross")
"""multi: a pool of several languages, with queries in each of them. mono-same: a pool in the query's language only.
mono-cross: a pool in one other language only.
"""


@dataclass(frozen=True)
class Scenario:
    """A row of an audit: a pool, by its languages, and a query language.

    :param name: "multi", "mono-same" or "mono-cross".
    :param pool_languages: languages of the pool, as normalized tags.
    :param query_language: language of the queries, as a normalized tag.
    """

    name: str
    pool_languages: tuple[str, ...]
    query_language: str


def parse_scenarios(names: Sequence[str], *, source: str = "--scenario") -> tuple[str, ...]:
    """Check names of scenarios and drop repeats.

    :raises InputError: for a name that is not one of `SCENARIOS`, or none at all.
    """
    for name in names:
        if name not in SCENARIOS:
            raise InputError("unknown scenario", source=source, seen=name, allowed=", ".join(SCENARIOS))
    if not names:
        raise InputError("no scenario", source=source, allowed=", ".join(SCENARIOS))
    return tuple(dict.fromkeys(names))


def plan_scenarios(
    names: Sequence[str],
    pool_languages: Sequence[str],
    query_languages: Sequence[str] | None = None,
    *,
    pairs: str | None = None,
) -> list[Scenario]:
    """The rows of scenarios, in a fixed order.

    :param names: names out of `SCENARIOS`.
    :param pool_languages: languages of the documents, as normalized tags; together they form one pool under multi.
        `UNDETERMINED` documents belong to that pool, but to no pool of one language.
    :param query_languages: languages of the queries; those of the pool by default.
    :param pairs: instead of one pool, a pool of this language and X for every other language X, with queries in both.
    :raises InputError: if fewer than two languages are left for multi or mono-cross, ``pairs`` is not among them, or
        no scenario has a row.
    """
    pool = tuple(dict.fromkeys(pool_languages))
    query_tags = pool if query_languages is None else tuple(dict.fromkeys(query_languages))
    chosen = parse_scenarios(names)
    if pairs is not None and pairs not in pool:
        raise InputError("not one of the languages", source="--pairs", seen=pairs, allowed=", ".join(pool))
    known_languages = tuple(language for language in pool if language != UNDETERMINED)
    if len(known_languages) < 2 and chosen != ("mono-same",):
        raise InputError(
            f"the scenario {next(name for name in chosen if name != 'mono-same')} needs documents in two languages",
            source="--languages",
            seen=", ".join(pool),
            allowed="two or more languages that the documents have (or --scenario mono-same)",
        )
    pools = [pool] if pairs is None else [(pairs, other) for other in known_languages if other != pairs]
    plan: list[Scenario] = []
    for name in chosen:
        if name == "mono-same":
            plan += [Scenario(name, (language,), language) for language in query_tags if language in pool]
            continue
        for languages in pools:
            here = [language for language in query_tags if pairs is None or language in languages]
            if name == "multi":
                plan += [Scenario(name, languages, language) for language in here]
            else:
                others = [language for language in languages if language != UNDETERMINED]
                plan += [
                    Scenario(name, (other,), language) for language in here for other in others if other != language
                ]
    if not plan:
        raise InputError(
            "no query is in a language that the scenarios ask",
            source="--languages",
            seen=", ".join(query_tags),
            allowed=", ".join(pool),
        )
    return plan


def select_scenarios(
    collection: JudgedCollection, names: Sequence[str], languages: Sequence[str] | None, pairs: str | None
) -> tuple[JudgedCollection, list[Scenario]]:
    """The part of a collection in the chosen languages, and the rows to compute on it.

    :param collection: documents, queries and judgments.
    :param names: names out of `SCENARIOS`.
    :param languages: languages of the pool, as tags or names; None for all. :param pairs: see `plan_scenarios`.
    :raises InputError: for a language that the data does not have, or scenarios without rows.
    """
    pool = _chosen_languages(languages, collection.document_languages)
    query_tags = (
        collection.query_languages if languages is None else [t for t in pool if t in collection.query_languages]
    )
    pivot = None if pairs is None else normalize_language(pairs, source="--pairs")
    plan = plan_scenarios(names, pool, query_tags, pairs=pivot)
    part = collection if languages is None else collection.restrict(pool, query_tags)
    return _certain_counted(part, plan), plan


def _certain_counted(collection: JudgedCollection, plan: Sequence[Scenario]) -> JudgedCollection:
    """Reject the first query to which the whole pool of a row is relevant, or count those that are left out.

    Checked here because it is known before anything is embedded.
    """
    documents = collection.documents
    longest = max(map(len, collection.relevant), default=0)
    groups: dict[str, set[str]] = {}
    for group, language in zip(documents.groups, documents.languages, strict=True):
        known = groups.setdefault(language, set())
        if len(known) <= longest:
            known.add(group)
    log = ReadingLog(skip_invalid=collection.skip_certain)
    whole = replace(collection, skip_certain=False)
    for row in plan:
        if sum(len(groups.get(language, ())) for language in row.pool_languages) > longest:
            continue
        part = whole.restrict(row.pool_languages, [row.query_language])
        where = f"{collection.name}, {row.name} over {'+'.join(row.pool_languages)}"
        certain = part.certain()
        for number in certain:
            error = certain_query(part, number, source=where)
            if len(certain) == len(part.queries):
                raise error
            log.refuse("query", error, reason=f"{CERTAIN} ({row.name})", name=part.queries.ids[number])
    return replace(collection, omissions=(*collection.omissions, *log.omissions()))


def _chosen_languages(names: Sequence[str] | None, present: Sequence[str]) -> list[str]:
    if names is None:
        return list(present)
    chosen = list(dict.fromkeys(normalize_language(name, source="--languages") for name in names))
    if not chosen:
        raise InputError("no language", source="--languages", allowed=", ".join(present))
    for name in chosen:
        if name not in present:
            raise InputError(
                "no document has this language", source="--languages", seen=name, allowed=", ".join(present)
            )
    return chosen

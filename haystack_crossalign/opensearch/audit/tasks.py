"""The work of an audit of an index: pools, the queries for each, and units of work in a fixed order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from haystack_crossalign.audit.scenarios import Scenario, plan_scenarios
from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import UNDETERMINED
from haystack_crossalign.opensearch.index.groups import Member
from haystack_crossalign.opensearch.index.pool import MULTIPLE, IndexView
from haystack_crossalign.opensearch.index.scoring import Query
from haystack_crossalign.opensearch.live.judgments import versions_of
from haystack_crossalign.opensearch.live.queries import LiveQueries

_LEAST_TOPS = 10


@dataclass(frozen=True, eq=False)
class Task:
    """A pool and its queries.

    :param view: the pool.
    :param scenarios: the rows, one for each query language.
    :param queries: the queries with vectors, and what is relevant to them in this pool.
    :param positions: their positions among all queries of the audit.
    :param whole: whether the pool is everything that matches the user's filter.
    """

    view: IndexView
    scenarios: tuple[Scenario, ...]
    queries: LiveQueries
    positions: tuple[int, ...]
    whole: bool


@dataclass(frozen=True)
class Unit:
    """Queries that are measured together.

    :param task: number of their task.
    :param queries: their positions within the task.
    :param first: number of the first one in the order of the work.
    """

    task: int
    queries: tuple[int, ...]
    first: int


def build_tasks(
    view: IndexView,
    narrowed: Callable[[Query], IndexView],
    queries: LiveQueries,
    members: Mapping[str, Member],
    *,
    scenarios: Sequence[str] = ("multi",),
    languages: Sequence[str] | None = None,
    pairs: str | None = None,
) -> list[Task]:
    """Split an audit into pools.

    :param view: everything that matches the user's filter.
    :param narrowed: returns a view of the same index with an additional condition.
    :param queries: queries with vectors.
    :param members: language and group of every relevant document.
    :param scenarios: names out of `haystack_crossalign.audit.scenarios.SCENARIOS`.
    :param languages: normalized tags of the pool and of the queries; None for all.
    :param pairs: one pool of this language and X for every other language X, instead of one pool.
    :raises InputError: a language that the index lacks, or scenarios that have no row.
    """
    present = tuple(view.pool().by_language)
    if not view.pool().documents:
        raise InputError(
            "no document with a vector is in the pool",
            source=", ".join(view.fields.indices),
            field=view.fields.vector.name,
            allowed="an index with vectors, and a filter that some documents pass",
        )
    for tag in languages or ():
        if tag not in present:
            raise InputError(
                "no document has this language", source="--languages", seen=tag, allowed=", ".join(present)
            )
    if set(present) == {UNDETERMINED}:
        raise InputError(
            "no document of the index has a language, so languages cannot be compared",
            source=", ".join(view.fields.indices),
            field=view.fields.language or "language",
            allowed="a keyword field with the documents' language (--language-field)",
        )
    pool = present if languages is None else tuple(languages)
    asked = sorted(set(queries.languages) if languages is None else set(queries.languages) & set(languages))
    plan = plan_scenarios(scenarios, pool, asked, pairs=pairs)
    by_pool: dict[tuple[str, tuple[str, ...]], list[Scenario]] = {}
    for scenario in plan:
        by_pool.setdefault((scenario.name, scenario.pool_languages), []).append(scenario)
    views: dict[tuple[str, ...], IndexView] = {}
    tasks = []
    for (_, tags), rows in by_pool.items():
        whole = set(tags) == set(present)
        if tags not in views:
            views[tags] = view if whole else narrowed(language_filter(view, tags))
        tasks.append(_task(views[tags], rows, queries, members, set(tags), whole=whole))
    return tasks


def language_filter(view: IndexView, tags: Sequence[str]) -> dict[str, Any]:
    """Condition that selects documents in some languages.

    :param view: the index, whose pool has their spellings.
    :param tags: normalized tags, optionally that of an undetermined language.
    """
    field = view.fields.counting(view.fields.language or "")
    values = sorted({value for tag in tags for value in view.values_of(tag)})
    either: list[dict[str, Any]] = [{"terms": {field.name: values}}]
    if UNDETERMINED in tags:
        either = [{"terms": {field.name: [*values, UNDETERMINED]}}, field.lacks()]
    if view.several:
        # A document with several languages belongs to none of them.
        single = {"bool": {"should": either, "minimum_should_match": 1, "must_not": [field.has_several()]}}
        either = [single, field.has_several()] if MULTIPLE in tags else [single]
    return either[0] if len(either) == 1 else {"bool": {"should": either, "minimum_should_match": 1}}


def make_units(tasks: Sequence[Task], size: Callable[[Task], int]) -> list[Unit]:
    """Units of work: task by task, with its languages in turn, so that a partial result covers all languages.

    :param tasks: the pools.
    :param size: queries of one unit of a task.
    """
    units: list[Unit] = []
    first = 0
    for number, task in enumerate(tasks):
        seen: Counter[str] = Counter()
        keys = []
        for position, language in enumerate(task.queries.languages):
            keys.append((seen[language], language, position))
            seen[language] += 1
        order = [position for _, _, position in sorted(keys)]
        step = size(task)
        for start in range(0, len(order), step):
            part = tuple(order[start : start + step])
            units.append(Unit(number, part, first))
            first += len(part)
    return units


def records_by_task(tasks: Sequence[Task], units: Sequence[Unit], done: Mapping[int, Any]) -> list[dict[int, Any]]:
    """The records of finished units, for each task by position of the query within it.

    :param tasks: the pools.
    :param units: all units.
    :param done: records of the units' queries, by number of the unit.
    """
    records: list[dict[int, Any]] = [{} for _ in tasks]
    for number, unit in enumerate(units):
        if number in done:
            records[unit.task].update(zip(unit.queries, done[number], strict=True))
    return records


def chosen_tops(tasks: Sequence[Task], share: float | None, seed: int) -> list[frozenset[int] | None]:
    """The queries of each task with an exact top list; None for all.

    The exact top list requires scoring the whole pool, so if ranks are estimated from a share of the pool, recall is
    estimated from the same share of the queries, drawn per language, at least ten.

    :param share: share of the pool that is scored, None for all of it.
    :param seed: of the draw.
    """
    if share is None:
        return [None] * len(tasks)
    chosen: list[frozenset[int] | None] = []
    for task in tasks:
        places: set[int] = set()
        for language in sorted(set(task.queries.languages)):
            own = [place for place, tag in enumerate(task.queries.languages) if tag == language]
            order = np.random.default_rng(seed).permutation(len(own)).tolist()
            places |= {own[number] for number in order[: max(_LEAST_TOPS, math.ceil(share * len(own)))]}
        chosen.append(frozenset(places))
    return chosen


def select(queries: LiveQueries, positions: Sequence[int]) -> LiveQueries:
    """Some of the queries."""

    def some(column: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(column[position] for position in positions)

    return replace(
        queries,
        ids=some(queries.ids),
        languages=some(queries.languages),
        texts=some(queries.texts),
        judged=some(queries.judged),
        grades=None if queries.grades is None else some(queries.grades),
        versions=some(queries.versions),
        groups=some(queries.groups),
        vectors=None if queries.vectors is None else queries.vectors[np.array(positions, dtype=np.int64)],
    )


def with_judged(queries: LiveQueries, judged: Sequence[Sequence[str]], members: Mapping[str, Member]) -> LiveQueries:
    """The queries with some of their judged documents."""
    return replace(
        queries,
        judged=tuple(tuple(names) for names in judged),
        versions=tuple(versions_of([members[name] for name in names]) for names in judged),
    )


def _task(
    view: IndexView,
    rows: Sequence[Scenario],
    queries: LiveQueries,
    members: Mapping[str, Member],
    tags: set[str],
    *,
    whole: bool,
) -> Task:
    asked = {row.query_language for row in rows}
    kept: list[int] = []
    judged: list[tuple[str, ...]] = []
    for position, (language, relevant) in enumerate(zip(queries.languages, queries.relevant, strict=True)):
        if language in asked and (whole or any(members[name].language in tags for name in relevant)):
            kept.append(position)
            names = queries.judged[position]
            judged.append(names if whole else tuple(name for name in names if members[name].language in tags))
    here = with_judged(select(queries, kept), judged, members)
    empty = [row.query_language for row in rows if row.query_language not in here.languages]
    if empty:
        raise InputError(
            f"{rows[0].name}: no query in {empty[0]} has a relevant document in the pool "
            f"({', '.join(rows[0].pool_languages)})",
            source="--scenario",
            allowed="languages in which queries and relevant documents exist",
        )
    return Task(view, tuple(rows), here, tuple(kept), whole)

"""Build the rows of a result from the records of queries: exact and retrieved, with the recall of each list."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.audit.assemble import Example, RankedRow
from haystack_crossalign.audit.scenarios import Scenario
from haystack_crossalign.errors import CrossAlignError
from haystack_crossalign.measures import (
    Complete,
    Intrusion,
    MaxAtR,
    MaxAtRNorm,
    Measure,
    QueryValues,
    RankOf,
    evaluate,
)
from haystack_crossalign.measures.statistics import bootstrap_means
from haystack_crossalign.opensearch.audit.parallel import recorded_lists
from haystack_crossalign.opensearch.audit.records import Record, part_table, relevant_part
from haystack_crossalign.opensearch.audit.tasks import Task, select
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.index.groups import members_by_name, stored_text
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.live.queries import LiveQueries
from haystack_crossalign.ranks.table import ABSENT, RankTable

_UNBIASED = (MaxAtR, RankOf, Intrusion)
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class ShownFields:
    """Stored fields that a report shows of a document.

    :param text: its text.
    :param title: its title.
    :param url: the address of its page; None for none.
    """

    text: str
    title: str
    url: str | None

    @classmethod
    def of(cls, settings: LiveSettings) -> ShownFields:
        """The fields of the settings; a title is shown even if it is not embedded."""
        return cls(settings.content_field, settings.title_field or "title", settings.url_field)

    @property
    def names(self) -> dict[str, str]:
        """The fields, by what they hold."""
        return {what: field for what, field in vars(self).items() if field is not None}


class Texts:
    """Texts of the documents in a report, read on first use.

    :param view: the index.
    :param fields: what is shown.
    :param shown: what the report calls documents, by their names.
    """

    def __init__(self, view: IndexView, fields: ShownFields, shown: Mapping[str, str]) -> None:
        self._view = view
        self._fields = fields.names
        self._shown = shown
        self._named = {called: name for name, called in shown.items()}
        self._known: dict[str, dict[str, str]] = {}
        self.failure: str | None = None

    def learn(self, hits: Sequence[Sequence[Any]], others: Sequence[str]) -> None:
        """Read the texts of some documents.

        :param hits: [id, score, language, group] of documents whose language is known.
        :param others: ids of documents of which nothing else is known.
        """
        for name, _, language, group in hits:
            self._known.setdefault(name, {"language": language, "group": group or self.shown(name)})
        wanted = [name for name in dict.fromkeys([*(hit[0] for hit in hits), *others]) if self._lacks(name)]
        if not wanted or self.failure is not None:
            return
        try:
            members = members_by_name(self._view, wanted, stored=[*self._fields.values()])
        except CrossAlignError as error:
            # The figures are complete; a result without some texts is better than none.
            self.failure = str(error)
            return
        for name, member in members.items():
            entry = {"language": member.language, "group": member.group or self.shown(name)}
            for what, field in self._fields.items():
                text = stored_text(member, field)
                if what == "text":
                    entry[what] = text
                elif text.strip():
                    entry[what] = text.strip()
            self._known[name] = entry

    def shown(self, name: str) -> str:
        """What the report calls a document, or a version: a single document's is its name."""
        return self._shown.get(name, name)

    def describe(self, shown: str) -> dict[str, str]:
        """Language, group, text, title and url of a document, as far as they are known, by what the report calls it."""
        return self._known.get(self._named.get(shown, shown), {"language": self._view.tag(None), "group": shown})

    def _lacks(self, name: str) -> bool:
        return "text" not in self._known.get(name, {})


def task_rows(
    task: Task,
    records: Mapping[int, Record],
    *,
    retrievals: Sequence[str],
    pool_languages: Sequence[str],
    pool_size: int,
    listed_pools: Mapping[str, int | None],
    count: str,
    texts: Texts,
    top: int,
    sample: float | None,
    samples: int,
    seed: int,
) -> Iterator[RankedRow]:
    """The rows of a pool: for each query language an exact row, and one for each retrieval.

    :param task: pool and queries.
    :param records: measurements by position of the query within the task; missing ones are left out.
    :param retrievals: names of the retrieved lists.
    :param pool_languages: languages of the pool.
    :param pool_size: number of versions in the pool.
    :param listed_pools: number of what the ranks in each list count in its pool, by name; None where not known.
    :param count: what they count, ``versions`` or ``hits``.
    :param texts: source of the texts of examples.
    :param top: k of the recall, and ranks of each list that measures of whole lists know.
    :param sample: share of the pool that was scored, None for all of it.
    :param samples: bootstrap samples of the recall's interval.
    :param seed: of the bootstrap.
    """
    for scenario in task.scenarios:
        places = [
            place
            for place, language in enumerate(task.queries.languages)
            if language == scenario.query_language and place in records
        ]
        if not places:
            continue
        queries = select(task.queries, places)
        level = queries.relevance_level
        own = [records[place] for place in places]
        if exact := [record["exact"] for record in own if "exact" in record]:
            table = part_table(
                exact, queries.languages, pool_languages=pool_languages, pool_size=pool_size, level=level
            )
            table = _with_lists(table, task, records, None, places, top)
            row = _row(scenario, table, queries, [record["shown"] for record in own], texts)
            yield row if sample is None else _sampled(row, own, level, sample, retrievals)
        for name in retrievals:
            live = [record["live"][name] for record in own if name in record.get("live", {})]
            if len(live) < len(own):
                continue
            table = part_table(
                live, queries.languages, pool_languages=pool_languages, pool_size=listed_pools[name], level=level
            )
            table = _with_lists(table, task, records, name, places, top, by_version=count == "versions")
            recall = _recall([part["recall"] for part in live], top, samples, seed)
            yield replace(
                _row(scenario, table, queries, [part["shown"] for part in live], texts),
                extra={"retrieval": name, "recall": recall},
            )


def _with_lists(
    table: RankTable,
    task: Task,
    records: Mapping[int, Record],
    retrieval: str | None,
    places: Sequence[int],
    top: int,
    *,
    by_version: bool = True,
) -> RankTable:
    """The table of the queries at some places, with the lists of all of the task."""
    lists = recorded_lists(task, records, retrieval, table.languages, top, by_version=by_version)
    if lists is None:
        return table
    return replace(table, top_lists=lists.select(np.searchsorted(sorted(records), places)))


def _shown_score(score: float | None) -> float | None:
    # A server with Java's Vector API sums in a different order after just-in-time compilation, so the last bits of the
    # scores of a query can change from one minute to the next (by about a millionth).
    return None if score is None else float(f"{score:.5g}")


def _row(
    scenario: Scenario,
    table: RankTable,
    queries: LiveQueries,
    shown: Sequence[Sequence[Sequence[Any]] | None],
    texts: Texts,
) -> RankedRow:
    def show(places: NDArray[np.int64]) -> list[Example]:
        chosen = places.tolist()
        hits = [hit for place in chosen for hit in shown[place] or ()]
        texts.learn(hits, [name for place in chosen for name in queries.relevant[place]])
        return [
            Example(
                documents=[texts.shown(hit[0]) for hit in shown[place] or ()],
                scores=[_shown_score(hit[1]) for hit in shown[place] or ()],
                relevant=[texts.shown(name) for name in queries.relevant[place]],
            )
            for place in chosen
        ]

    return RankedRow(
        scenario,
        table,
        ids=queries.ids,
        languages=queries.languages,
        texts=queries.texts,
        show=show,
        describe=texts.describe,
    )


def _recall(values: Sequence[float | None], k: int, samples: int, seed: int) -> dict[str, Any]:
    """Mean recall over the queries for which it was measured, with its 95 % interval."""
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if not len(known):
        return {"k": k, "value": None, "interval": None, "queries": 0}
    interval = None
    if samples and len(known) > 1:
        interval = [float(end) for end in bootstrap_means(known[:, None], samples=samples, seed=seed)[0]]
    return {"k": k, "value": float(known.mean()), "interval": interval, "queries": len(known)}


def _sampled(
    row: RankedRow, records: Sequence[Record], level: int, sample: float, retrievals: Sequence[str]
) -> RankedRow:
    """The row, with measures computed from unrounded estimated ranks where rounding matters.

    The variance of one estimate k / p is k (1 - p) / p^2 (a binomial count k with probability p, divided by p), those
    of different queries are independent: so the standard error of the mean of Max@R that is due to sampling is the
    root of the sum of the variances over the number of queries.
    """
    ranks = np.full(row.table.ranks.shape, float(ABSENT))
    above = row.table.above.astype(np.float64)
    code = {tag: number for number, tag in enumerate(row.table.languages)}
    deepest, low, high, variances = [], [], [], []
    for query, record in enumerate(records):
        part = relevant_part(record["exact"], level)
        ranks[query, : len(part["ranks"])] = part["ranks"]
        for column, counts in enumerate(part["above"]):
            for tag, count in counts.items():
                above[query, column, code[tag]] = count
        if not part["ranks"]:
            continue
        last = max(range(len(part["ranks"])), key=lambda column, part=part: part["ranks"][column])  # type: ignore[misc]
        others = part["ranks"][last] - len(part["ranks"])
        deepest.append(part["ranks"][last])
        # A version at rank r in a list of nearest neighbors certainly has r - 1 documents above it.
        live_ranks = [
            relevant_part(record["live"][name], level)["ranks"]
            for name in retrievals
            if name == "knn" and name in record["live"]
        ]
        bounds = [
            values[last] for values in live_ranks if len(values) == len(part["ranks"]) and values[last] is not None
        ]
        low.append(max([part["low"][last], *bounds]))
        high.append(max(part["high"][last], low[-1]))
        variances.append(max(others, 0.0) * (1 - sample) / sample)
    estimated = replace(row.table, ranks=ranks, above=above)  # type: ignore[arg-type]

    def values(measures: Sequence[Measure]) -> dict[str, QueryValues]:
        exact = (*_UNBIASED, MaxAtRNorm, Complete)
        rounded = evaluate(row.table, measures)
        fine = evaluate(estimated, [measure for measure in measures if isinstance(measure, exact)])
        return {name: fine.get(name, value) for name, value in rounded.items()}

    error = _Z95 * math.sqrt(sum(variances)) / len(deepest) if deepest else None
    mean = sum(deepest) / len(deepest) if deepest else None
    return replace(
        row,
        values=values,
        extra={
            "sampled": {
                "probability": sample,
                "unbiased": ["Max@R", "Rank[L]", "Intrusion[L]"],
                "approximate": ["Max@R_norm", "Complete@K and every other measure"],
                "Max@R": None
                if mean is None or error is None
                else {"value": mean, "interval": [max(mean - error, 1.0), mean + error]},
                "per_query": {"low": low, "high": high},
            }
        },
    )

"""What an audit of an index measured for each query, as JSON values, and the tables of ranks made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.opensearch.exact.sampling import SampledRanks
from haystack_crossalign.ranks.table import ABSENT, CENSORED, RankTable, with_gains

Record = dict[str, Any]
"""What was measured for one query:

- ``exact``, unless the index has no vectors: ``versions`` (languages), ``ranks``, ``optimistic``, ``pessimistic``,
  ``above`` (by language) for each ranked version, and ``top`` (language at rank 1); where scores tie also ``higher``
  and ``tied`` (by language) for each version, and ``top_versions`` (by language). With a sample the ranks are
  estimates, with ``low`` and ``high``. Where judgments are graded, these are all judged versions, each with its gain
  in ``gains``.
- ``shown``: the first hits of the exact ranking as [id, score, language, group]; null if they were not asked for.
- ``unranked``: [id or version, reason] of judged ones that the pool lacks.
- ``live``: by the name of the retrieval the same as ``exact``, with ranks null below the end of the list, its
  ``depth``, whether it ``ended`` by itself, its ``recall`` (null if it was not measured), its first hits ``shown``,
  and how often it held each document that it held more than once (``repeated``, if there is one). Where documents are
  chunks, ``held`` has the numbers of its hits and of their versions; where hits are counted, ``further`` has for each
  version the further hits of each relevant version ahead of it, if a list has any.
"""

_BY_VERSION = frozenset(
    ("versions", "ranks", "optimistic", "pessimistic", "above", "higher", "tied", "further", "low", "high", "gains")
)


def table_parts(table: RankTable, gains: Sequence[Sequence[float]] | None = None) -> list[Record]:
    """One record for each query of a table.

    :param table: ranks of Q queries.
    :param gains: gains of its columns, if judgments are graded.
    """
    parts = []
    for query in range(len(table.ranks)):
        columns = [column for column, rank in enumerate(table.ranks[query].tolist()) if rank != ABSENT]
        part: Record = {
            "versions": [table.languages[table.relevant_languages[query, column]] for column in columns],
            "above": [_counts(table, table.above[query, column]) for column in columns],
        }
        if table.higher is not None and table.tied is not None:
            part["higher"] = [_counts(table, table.higher[query, column]) for column in columns]
            part["tied"] = [_counts(table, table.tied[query, column]) for column in columns]
        if table.further is not None:
            part["further"] = table.further[query][np.ix_(columns, columns)].tolist()
        if table.top_versions is not None:
            part["top_versions"] = _counts(table, table.top_versions[query])
        for name in ("ranks", "optimistic", "pessimistic"):
            values = getattr(table, name)[query].tolist()
            part[name] = [values[column] if values[column] > 0 else None for column in columns]
        top = -1 if table.top_language is None else int(table.top_language[query])
        part["top"] = table.languages[top] if top >= 0 else None
        if gains is not None:
            part["gains"] = [gains[query][column] for column in columns]
        if table.depth is not None:
            part["depth"] = int(table.depth[query])
            part["ended"] = bool(table.ended is not None and table.ended[query])
        parts.append(part)
    return parts


def _counts(table: RankTable, counts: NDArray[np.int32]) -> dict[str, int]:
    return {table.languages[code]: count for code, count in enumerate(counts.tolist()) if count}


def estimated_parts(estimated: SampledRanks, gains: Sequence[Sequence[float]] | None) -> list[Record]:
    """One record for each query of estimated ranks.

    :param estimated: ranks of Q queries.
    :param gains: gains of their columns, if judgments are graded.
    """
    parts = []
    for query in range(len(estimated.ranks)):
        columns = np.flatnonzero(~np.isnan(estimated.ranks[query])).tolist()
        part: Record = {
            "versions": [estimated.languages[estimated.relevant_languages[query, column]] for column in columns],
            "above": [
                {
                    tag: count
                    for tag, count in zip(estimated.languages, estimated.above[query, column].tolist(), strict=True)
                    if count
                }
                for column in columns
            ],
        }
        for name in ("ranks", "low", "high"):
            values = getattr(estimated, name)[query].tolist()
            part[name] = [values[column] for column in columns]
        part["optimistic"] = part["pessimistic"] = part["ranks"]
        if gains is not None:
            part["gains"] = [gains[query][column] for column in columns]
        part["top"] = None
        parts.append(part)
    return parts


def part_table(
    parts: Sequence[Record],
    query_languages: Sequence[str],
    *,
    pool_languages: Sequence[str],
    pool_size: int | None,
    level: int = 1,
) -> RankTable:
    """Build a rank table from the records of queries; estimated ranks are rounded.

    :param parts: ``exact`` of the records, or what ``live`` holds for one retrieval.
    :param query_languages: normalized languages of the queries.
    :param pool_languages: normalized languages of the pool.
    :param pool_size: number of versions in the pool; None where it is not known.
    :param level: least gain of a relevant version, where the parts have gains.
    """
    tags = {*query_languages, *pool_languages}
    for part in parts:
        tags.update(part["versions"], *part["above"], [part["top"]] if part["top"] is not None else [])
        tags.update(*part.get("tied", ()), part.get("top_versions", ()))
    languages = tuple(sorted(tags))
    code = {tag: number for number, tag in enumerate(languages)}
    shape = (len(parts), max((len(part["versions"]) for part in parts), default=0))
    relevant = np.full(shape, -1, dtype=np.int32)
    columns = {name: np.full(shape, ABSENT, dtype=np.int32) for name in ("ranks", "optimistic", "pessimistic")}
    counts = {name: np.zeros((*shape, len(languages)), dtype=np.int32) for name in ("above", "higher", "tied")}
    top_versions = np.zeros((len(parts), len(languages)), dtype=np.int32)
    gains = np.zeros(shape)
    further = np.zeros((*shape, shape[1]), dtype=np.int32)
    for query, part in enumerate(parts):
        for column, tag in enumerate(part["versions"]):
            relevant[query, column] = code[tag]
            for name, values in columns.items():
                value = part[name][column]
                values[query, column] = CENSORED if value is None else round(value)
            for name, array in counts.items():
                # Without ties, the versions with higher scores are those ranked above.
                columns_of = part.get(name, part["above"] if name == "higher" else ())
                for other, count in columns_of[column].items() if columns_of else ():
                    array[query, column, code[other]] = round(count)
        for other, count in part.get("top_versions", {} if part["top"] is None else {part["top"]: 1}).items():
            top_versions[query, code[other]] = count
        gains[query, : len(part.get("gains", ()))] = part.get("gains", ())
        if "further" in part:
            count = len(part["versions"])
            further[query, :count, :count] = part["further"]
    has_ties = bool(counts["tied"].any())
    live = bool(parts) and "depth" in parts[0]
    table = RankTable(
        languages=languages,
        query_languages=np.array([code[tag] for tag in query_languages], dtype=np.int32),
        relevant_languages=relevant,
        ranks=columns["ranks"],
        optimistic=columns["optimistic"],
        pessimistic=columns["pessimistic"],
        above=counts["above"],
        pool_languages=tuple(sorted(code[tag] for tag in pool_languages)),
        pool_size=pool_size,
        depth=np.array([part["depth"] for part in parts], dtype=np.int32) if live else None,
        ended=np.array([part["ended"] for part in parts], dtype=np.bool_) if live else None,
        top_language=_tops(parts, code),
        top_versions=top_versions if (top_versions.sum(axis=1) > 1).any() else None,
        higher=counts["higher"] if has_ties else None,
        tied=counts["tied"] if has_ties else None,
        further=further if further.any() else None,
    )
    return with_gains(table, gains, level) if any("gains" in part for part in parts) else table


def relevant_part(part: Record, level: int) -> Record:
    """A record's part reduced to its relevant versions, in the same order.

    :param part: ``exact`` of a record, or what ``live`` holds for one retrieval.
    :param level: least gain of a relevant version, where the part has gains.
    """
    if "gains" not in part:
        return part
    kept = [gain >= level for gain in part["gains"]]
    few = {name: list(compress(value, kept)) if name in _BY_VERSION else value for name, value in part.items()}
    if "further" in few:
        few["further"] = [list(compress(counts, kept)) for counts in few["further"]]
    return few


def _tops(parts: Sequence[Record], code: Mapping[str, int]) -> NDArray[np.int32] | None:
    if parts and "low" in parts[0]:
        return None
    return np.array([-1 if part["top"] is None else code[part["top"]] for part in parts], dtype=np.int32)

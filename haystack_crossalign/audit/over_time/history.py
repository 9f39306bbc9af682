"""The history of audits: measures over time, and the changes between consecutive results that a test supports."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.audit.compare import within_ties
from haystack_crossalign.audit.over_time.parts import followed_part, numbers, optional_text, text
from haystack_crossalign.audit.over_time.stamp import seconds_of
from haystack_crossalign.audit.over_time.worse import FOLLOWED
from haystack_crossalign.audit.result import SCHEMA, rounded
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import read_json_object
from haystack_crossalign.measures.statistics import holm, paired_permutation_tests, queries_needed

HISTORY = "crossalign.history/1"
_UNUSED = tuple(
    f'"{name}":'.encode()
    for name in ("language", "versions", "ranks", "optimistic", "pessimistic", "above", "depth", "top_language")
)
_MOST_ELEMENTS = 2_000_000

_Key = tuple[str, str, tuple[str, ...], str, str]


@dataclass(frozen=True)
class _Entry:
    """What is kept of a result: its time, subject and measures, and the rows with the followed ones."""

    file: str
    stamp: str
    stamped: bool
    subject: dict[str, Any]
    available: frozenset[str]
    rows: dict[_Key, dict[str, Any]]
    values: dict[tuple[_Key, str], NDArray[np.float64]] = field(repr=False)
    ids: dict[_Key, tuple[str, ...]] = field(repr=False)
    texts: dict[_Key, tuple[str, ...]] = field(repr=False)


def read_history(
    paths: Sequence[Path | str], *, measures: Sequence[str] | None = None, permutations: int = 10_000, seed: int = 0
) -> dict[str, Any]:
    """Read results and test every change from one to the next.

    A result's time is its stamp (``--stamp``), else the time of its file. A change between two consecutive results is
    judged as in a comparison of the two: a paired permutation test over the queries of a row, adjusted by Holm's method
    over the rows of a measure. Each step is a test of its own: of 100 steps without a change about 5 are marked.

    :param paths: files, and folders whose ``*.json`` are read, with their subfolders; other files in them are left out.
    :param measures: names of measures; `FOLLOWED` if None.
    :param permutations: number of random sign flips.
    :param seed: of the random generator.
    :returns: mapping of schema ``crossalign.history/1``.
    :raises InputError: if there is no result, a result is damaged, no result has a measure that is named, or a query
        has another text in the next result.
    """
    if measures is not None and not measures:
        raise InputError(
            "no measure",
            source="--measures",
            seen="",
            allowed="names such as Max@R, Complete@10, or none for the default",
        )
    chosen = FOLLOWED if measures is None else tuple(measures)
    left_out: list[str] = []
    entries = sorted(
        _entries([Path(path) for path in paths], chosen, left_out), key=lambda entry: (entry.stamp, entry.file)
    )
    if not entries:
        raise InputError(
            "no audit result",
            source=", ".join(str(path) for path in paths),
            allowed="files that `crossalign audit --json` wrote, or folders of them",
        )
    known = frozenset().union(*(entry.available for entry in entries))
    missing = [name for name in chosen if name not in known]
    # Not all results need have the measures that are followed by default.
    if missing and (measures is not None or len(missing) == len(chosen)):
        raise InputError("no result has these measures", source="--measures", seen=", ".join(missing),
                         allowed=", ".join(sorted(known)))  # fmt: skip
    changes = _changes(entries, permutations, seed)
    data: dict[str, Any] = rounded(
        {
            "schema": HISTORY,
            "measures": [name for name in chosen if name in known],
            "results": [
                {"file": entry.file, "time": entry.stamp, "stamped": entry.stamped, **entry.subject}
                for entry in entries
            ],
            "series": _series(entries, chosen, changes),
            "left_out": sorted(left_out),
        }
    )
    return data


def _entries(paths: Sequence[Path], measures: Sequence[str], left_out: list[str]) -> Iterator[_Entry]:
    seen: set[Path] = set()
    for path, named in _files(paths):
        if path.resolve() in seen:
            continue
        seen.add(path.resolve())
        if not named:
            # Other files in a folder are nobody's fault: the times next to a result, comparisons, settings.
            try:
                data = _loaded(path.read_bytes())
            except (ValueError, OSError, RecursionError):
                left_out.append(str(path))
                continue
        else:
            data, _ = read_json_object(path)
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            if named:
                raise InputError("not an audit result", source=path, field="schema", allowed=SCHEMA)
            if not path.name.endswith(".times.json"):
                left_out.append(str(path))
            continue
        yield _entry(path, data, measures)


def _loaded(raw: bytes) -> Any:
    """Parse a result without the columns and examples that a history does not need, half of the work.

    `AuditResult.to_json` writes one line per column, and JSON has no line feed within a string. Anything else is parsed
    whole.
    """
    head, separator, tail = raw.partition(b'},\n"examples":[')
    if separator and raw.startswith(b'{"schema":"crossalign.audit/1",'):
        kept = b"\n".join(line for line in head.split(b"\n") if not line.startswith(_UNUSED))
        live = tail.rpartition(b'\n"live":')
        try:
            return json.loads(kept + (b'},"live":' + live[2] if live[1] else b"}}"))
        except ValueError:
            pass
    return json.loads(raw)


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    for path in paths:
        if path.is_dir():
            yield from ((file, False) for file in sorted(path.rglob("*.json")) if file.is_file())
        elif path.exists():
            yield path, True
        else:
            raise InputError("no such file or folder", source=path, allowed="a result, or a folder of results")


def _entry(path: Path, data: Mapping[str, Any], measures: Sequence[str]) -> _Entry:
    try:
        provenance, queries = data["provenance"], data["queries"]
        stamp = provenance.get("stamp")
        time = path.stat().st_mtime if stamp is None else seconds_of(stamp)
        model, source = provenance.get("model") or {}, provenance.get("data") or {}
        subject = {
            "model": optional_text(model.get("name")),
            "model_sha256": optional_text(model.get("sha256")),
            "data": optional_text(source.get("name")),
            "index": optional_text((data.get("live") or {}).get("index")),
        }
        owners = numbers(queries["row"])
        names: Sequence[str] = [text(name) for name in queries["id"]]
        # Results over time repeat the same texts: each is kept once.
        texts = None if queries.get("text") is None else [*map(sys.intern, queries["text"])]
        columns = {name: numbers(queries["measures"][name]) for name in measures if name in queries["measures"]}
        sized: list[Any] = [names, *columns.values(), *([] if texts is None else [texts])]
        if any(len(column) != len(owners) for column in sized):
            raise ValueError("columns differ in length")
        rows: dict[_Key, dict[str, Any]] = {}
        values, ids, asked = {}, {}, {}
        available: set[str] = set()
        for number, row in enumerate(data["rows"]):
            key = (text(row["scenario"]), text(row["query_language"]), tuple(sorted(map(text, row["pool_languages"]))),
                   text(row["kind"]), text(row.get("retrieval", "")))  # fmt: skip
            rows[key] = followed_part(row, measures)
            available.update(map(text, row["measures"]))
            start, stop = np.searchsorted(owners, [number, number + 1])
            ids[key] = tuple(names[start:stop])
            if texts is not None:
                asked[key] = tuple(texts[start:stop])
            for name, column in columns.items():
                if name in rows[key]["measures"]:
                    values[key, name] = column[start:stop]
            if any((key, name) not in values for name in rows[key]["measures"]):
                raise ValueError("a measure has no column")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(
            f"not an audit result: {error or type(error).__name__}", source=path, allowed=f"a file of {SCHEMA}"
        ) from None
    written = datetime.fromtimestamp(int(time), UTC).replace(tzinfo=None).isoformat() + "Z"
    return _Entry(str(path), written, stamp is not None, subject, frozenset(available), rows, values, ids, asked)


def _changes(entries: Sequence[_Entry], permutations: int, seed: int) -> dict[tuple[int, _Key, str], dict[str, Any]]:
    """The change to each result from the one before it, by its number, row and measure."""
    changes: dict[tuple[int, _Key, str], dict[str, Any]] = {}
    pending: dict[int, list[tuple[tuple[int, _Key, str], NDArray[np.float64], NDArray[np.float64]]]] = {}

    def test(size: int) -> None:
        waiting = pending.pop(size)
        a, b = (np.stack([entry[side] for entry in waiting], axis=1) for side in (1, 2))
        p_values = paired_permutation_tests(a, b, permutations=permutations, seed=seed).tolist()
        for (place, *_), p in zip(waiting, p_values, strict=True):
            changes[place]["p"] = p

    for number in range(1, len(entries)):
        before, after = entries[number - 1], entries[number]
        for key, row in after.rows.items():
            if key not in before.rows:
                continue
            order = _common(before.ids[key], after.ids[key])
            _check_texts(before, after, key, order)
            for name in row["measures"]:
                place = (number, key, name)
                if row["measures"][name] is None or before.rows[key]["measures"].get(name) is None:
                    continue
                if not len(order[0]):
                    changes[place] = {"p": None, "reason": "no query in common"}
                    continue
                a, b = before.values[key, name][order[0]], after.values[key, name][order[1]]
                known = ~(np.isnan(a) | np.isnan(b))
                difference = (b - a)[known]
                if not difference.size:
                    changes[place] = {"p": None, "reason": "no query has a value in both"}
                    continue
                entry = {"difference": float(difference.mean()), "a": float(a[known].mean()),
                         "b": float(b[known].mean()), "queries": int(known.sum()), "p": 1.0}  # fmt: skip
                changes[place] = {**entry, "within_ties": False}
                if difference.any():
                    if name in before.rows[key]["ties"] or name in row["ties"]:
                        ties = within_ties(name, entry, before.rows[key], row)
                        changes[place]["within_ties"] = ties.get("within_ties", False)
                    waiting = pending.setdefault(len(difference), [])
                    waiting.append((place, a[known], b[known]))
                    if len(waiting) * len(difference) > _MOST_ELEMENTS:
                        test(len(difference))
    for size in list(pending):
        test(size)
    _adjust(changes)
    return changes


def _check_texts(before: _Entry, after: _Entry, key: _Key, order: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
    """Equal ids must mean equal queries, as in a comparison; results without texts cannot be checked."""
    if key not in before.texts or key not in after.texts:
        return
    a, b = before.texts[key], after.texts[key]
    if a == b and before.ids[key] == after.ids[key]:
        return
    for first, second in zip(*(places.tolist() for places in order), strict=True):
        if a[first] != b[second]:
            title = f"{key[0]}, {'+'.join(key[2])} asked in {key[1]}"
            raise InputError(
                f"the query '{before.ids[key][first]}' has another text in each result ({title})",
                source=f"{before.file}, {after.file}",
                field="queries.text",
                seen=[a[first], b[second]],
                allowed="results over the same queries, or another id for another text",
            )


def _adjust(changes: Mapping[tuple[int, _Key, str], dict[str, Any]]) -> None:
    steps: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for (number, _, name), change in changes.items():
        if change["p"] is not None:
            steps.setdefault((number, name), []).append(change)
    for tested in steps.values():
        for change, p in zip(tested, holm([change["p"] for change in tested]).tolist(), strict=True):
            change["p_holm"] = p
            if change["queries"] < queries_needed(len(tested)):
                change["queries_needed"] = queries_needed(len(tested))


def _common(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the common queries in both."""
    if a == b:
        every = np.arange(len(a), dtype=np.int64)
        return every, every
    places = {query: place for place, query in enumerate(b)}
    pairs = [(place, places[query]) for place, query in enumerate(a) if query in places]
    both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _series(
    entries: Sequence[_Entry], measures: Sequence[str], changes: Mapping[tuple[int, _Key, str], dict[str, Any]]
) -> list[dict[str, Any]]:
    keys = dict.fromkeys(key for entry in entries for key in entry.rows)
    series = []
    for key in keys:
        for name in measures:
            points = []
            for number, entry in enumerate(entries):
                row = entry.rows.get(key)
                if row is None or name not in row["measures"]:
                    continue
                change = changes.get((number, key, name))
                points.append(
                    {
                        "result": number,
                        "value": row["measures"][name],
                        "interval": row["intervals"].get(name),
                        "queries": row["queries"],
                        "change": change,
                    }
                )
            if points:
                first = next(entry.rows[key] for entry in entries if key in entry.rows)
                series.append(
                    {
                        "measure": name,
                        "scenario": key[0],
                        "query_language": key[1],
                        "pool_languages": first["pool_languages"],
                        "kind": key[3],
                        **({"retrieval": key[4]} if key[4] else {}),
                        "points": points,
                    }
                )
    return series

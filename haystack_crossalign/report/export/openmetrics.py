"""Results as OpenMetrics text, for Prometheus: the textfile collector of a node exporter reads the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from haystack_crossalign.measures.parity import parities

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})

_Sample = tuple[Mapping[str, str], float]


def openmetrics(result: Mapping[str, Any], outcomes: Sequence[Mapping[str, Any]] = ()) -> str:
    """The figures of a result as gauges, without time stamps, which the textfile collector rejects.

    The text is valid OpenMetrics 1.0 and, since its last line is a comment there, Prometheus's own text format.

    :param result: an audit result, schema ``crossalign.audit/1``.
    :param outcomes: the gate's outcomes as mappings.
    """
    rows = [(_labels(row), row) for row in result["rows"]]
    measures, low, high = [], [], []
    for labels, row in rows:
        for name, value in row["measures"].items():
            if value is not None:
                measures.append(({**labels, "measure": name}, value))
        for name, bounds in row["intervals"].items():
            if bounds is not None and None not in bounds:
                low.append(({**labels, "measure": name}, bounds[0]))
                high.append(({**labels, "measure": name}, bounds[1]))
    parity = [
        (
            {
                "scenario": group["scenario"],
                "pool": "+".join(group["pool_languages"]),
                "kind": group["kind"],
                "retrieval": group["retrieval"] or "",
                "measure": name,
                "worst": entry["worst"],
            },
            entry["value"],
        )
        for group in parities(result["rows"])
        for name, entry in group["measures"].items()
        if entry["value"] is not None
    ]
    provenance = result["provenance"]
    described = {
        "version": (provenance.get("tool") or {}).get("version"),
        "model": (provenance.get("model") or {}).get("name"),
        "data": (provenance.get("data") or {}).get("name"),
        "index": (result.get("live") or {}).get("index"),
    }
    families: list[tuple[str, str, Iterable[_Sample]]] = [
        ("audit", "What was audited; the value is always 1.", [({k: str(v) for k, v in described.items() if v}, 1.0)]),
        ("measure", "Mean of a measure over queries. Shares are 0 to 1.", measures),
        ("measure_low", "Lower end of the 95 % interval of a measure.", low),
        ("measure_high", "Upper end of the 95 % interval of a measure.", high),
        ("parity", "Lowest mean of a measure over query languages, divided by the highest.", parity),
        ("queries", "Number of queries of a row.", [(labels, row["queries"]) for labels, row in rows]),
        (
            "pool_versions",
            "Number of versions in the pool of a row.",
            [(labels, row["pool_size"]) for labels, row in rows if row["pool_size"] is not None],
        ),
    ]
    if provenance.get("stamp"):
        time = datetime.fromisoformat(provenance["stamp"]).timestamp()
        families.append(("audit_time_seconds", "Time of the audit, in seconds since 1970.", [({}, time)]))
    if outcomes:
        failed = sum(bool(outcome["failed"]) for outcome in outcomes)
        families.append(("gate_conditions", "Number of conditions of the gate.", [({}, float(len(outcomes)))]))
        families.append(("gate_failed_conditions", "Number of them that failed.", [({}, float(failed))]))
    lines = []
    for name, text, samples in families:
        lines += [f"# TYPE crossalign_{name} gauge", f"# HELP crossalign_{name} {text}"]
        lines += [f"crossalign_{name}{_written(labels)} {float(value)!r}" for labels, value in samples]
    return "\n".join([*lines, "# EOF"]) + "\n"


def _labels(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "scenario": row["scenario"],
        "query_language": row["query_language"],
        "pool": "+".join(row["pool_languages"]),
        "kind": row["kind"],
        "retrieval": row.get("retrieval", ""),
    }


def _written(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items()) + "}"

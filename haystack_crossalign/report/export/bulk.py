"""Results as documents for a results index in OpenSearch, in the format of its bulk API."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def bulk_documents(result: Mapping[str, Any]) -> str:
    """One document per row, each below its action line, as NDJSON for ``_bulk``.

    Ids depend on time, subject and row, so that a file that is sent twice replaces its documents.

    :param result: an audit result with a stamp, schema ``crossalign.audit/1``.
    """
    provenance = result["provenance"]
    subject = {
        "@timestamp": provenance["stamp"],
        "model": (provenance.get("model") or {}).get("name"),
        "data": (provenance.get("data") or {}).get("name"),
        "audited_index": (result.get("live") or {}).get("index"),
        "tool_version": (provenance.get("tool") or {}).get("version"),
    }
    lines = []
    for row in result["rows"]:
        ranked = row.get("retrieval") or ("served" if row["kind"] == "live" else "exact")
        pool = "+".join(row["pool_languages"])
        where = {
            "scenario": row["scenario"],
            "query_language": row["query_language"],
            "pool_languages": row["pool_languages"],
            "kind": row["kind"],
            "ranking": ranked,
            "series": f"{row['query_language']} queries, {pool}, {ranked}",
        }
        document = {
            **{name: value for name, value in subject.items() if value is not None},
            **where,
            "queries": row["queries"],
            **({} if row["pool_size"] is None else {"pool_size": row["pool_size"]}),
            # A float everywhere: an index that saw 1 first would keep the field as an integer.
            "measures": {name: float(value) for name, value in row["measures"].items() if value is not None},
            "intervals": {
                name: {"low": float(bounds[0]), "high": float(bounds[1])}
                for name, bounds in row["intervals"].items()
                if bounds is not None and None not in bounds
            },
        }
        key = json.dumps([subject, where], sort_keys=True, ensure_ascii=True)
        action = {"index": {"_id": hashlib.sha256(key.encode("ascii")).hexdigest()[:32]}}
        lines += [json.dumps(entry, ensure_ascii=False, allow_nan=False) for entry in (action, document)]
    return "\n".join(lines) + "\n"

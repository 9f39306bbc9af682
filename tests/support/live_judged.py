"""Audits by document ids through the command, and the ranks of the same documents in numpy."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from live_audit import parallel_documents, write_queries
from live_command import Finished, run_command

INDEX = "audit-judged"


def grouped(grouping: str, chunks: int) -> dict[str, dict[str, Any]]:
    """The documents of `parallel_documents` whose groups are all there, or those of every third content alone."""
    documents = parallel_documents(chunks=chunks)
    for document in documents.values():
        group = document.pop("group")
        if grouping == "all" or (grouping == "some" and int(group[1:]) % 3 == 0):
            document["parallel_id"] = group
    return documents


def judged(path: Path, documents: Iterable[str]) -> list[dict[str, Any]]:
    """The queries of `write_queries`, each naming all documents of its content."""
    queries = [json.loads(line) for line in write_queries(path).read_text(encoding="utf-8").splitlines()]
    for query in queries:
        content = query.pop("group")[1:]
        query["relevant"] = [name for name in documents if name.split("-")[1] == content]
    path.write_text("".join(json.dumps(query) + "\n" for query in queries), encoding="utf-8")
    return queries


def ranks_in_numpy(
    documents: dict[str, dict[str, Any]], queries: list[dict[str, Any]]
) -> dict[str, list[tuple[str, int]]]:
    """Language and rank of each relevant version by query, from the cosines of all documents."""
    units = {
        name: (one["parallel_id"], one["language"]) if "parallel_id" in one else (name, one["language"])
        for name, one in documents.items()
    }
    matrix = np.array([one["embedding"] for one in documents.values()])
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    found = {}
    for query in queries:
        best: dict[tuple[str, str], float] = {}
        for name, score in zip(documents, (matrix @ np.array(query["embedding"])).tolist(), strict=True):
            best[units[name]] = max(best.get(units[name], -np.inf), score)
        relevant = {units[name] for name in query["relevant"]}
        ranks = [
            (language, 1 + sum(other > best[group, language] for other in best.values()))
            for group, language in relevant
        ]
        found[query["id"]] = sorted(ranks, key=repr)
    return found


def ranks_in_result(result: dict[str, Any], kind: str) -> dict[str, list[tuple[str, int]]]:
    """Language and rank of each relevant version by query, in the rows of a kind; ranks below a list's end are None."""
    columns = result["queries"]
    return {
        columns["id"][place]: sorted(zip(columns["versions"][place], columns["ranks"][place], strict=True), key=repr)
        for place, row in enumerate(columns["row"])
        if result["rows"][row]["kind"] == kind
    }


def mapping_of(indexing: Any, grouping: str) -> dict[str, Any]:
    """Mapping of the documents of `grouped`; without the group's field where it is ``unmapped``."""
    mapping: dict[str, Any] = indexing.mapping(12)
    del mapping["properties"]["group"]
    if grouping != "unmapped":
        mapping["properties"]["parallel_id"] = {"type": "keyword"}
    return mapping


def audit(server: Any, folder: Path, *arguments: str) -> Finished:
    """``crossalign audit`` with the folder's ``queries.jsonl``, with lists that hold the whole pool."""
    depth = [] if "--request" in arguments and "--live" not in arguments else ["--depth", "200"]
    command = ["--queries", str(folder / "queries.jsonl"), "--index", INDEX, *depth, *arguments]
    return run_command(folder, *command, environment={"CROSSALIGN_HOSTS": server.url})

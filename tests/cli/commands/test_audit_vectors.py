"""`crossalign audit` with vectors in numpy tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from haystack_crossalign.files.reading import source_of

Files = tuple[Path, Path]


@pytest.fixture
def tables(parallel_files: Files, tmp_path: Path) -> list[str | Path]:
    """The files without their vectors, which are in tables: the options of an audit."""
    options: list[str | Path] = []
    for kind, path in zip(("document", "query"), parallel_files, strict=True):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        np.save(tmp_path / f"{kind}.npy", np.array([row.pop("embedding") for row in rows], dtype=np.float32))
        bare = tmp_path / f"{path.stem}-bare.jsonl"
        bare.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        options += ["--documents" if kind == "document" else "--queries", bare]
        options += [f"--{kind}-vectors", tmp_path / f"{kind}.npy"]
    return options


def test_an_audit_is_that_of_the_same_vectors_in_the_records(
    crossalign: Any, parallel_files: Files, tables: list[str | Path], tmp_path: Path
) -> None:
    documents, queries = parallel_files
    target, expected = tmp_path / "a.json", tmp_path / "b.json"
    assert crossalign("audit", *tables, "--json", target).code == 0
    assert crossalign("audit", "--documents", documents, "--queries", queries, "--json", expected).code == 0
    found, wanted = (json.loads(path.read_text(encoding="utf-8")) for path in (target, expected))
    for part in ("rows", "queries", "examples", "documents"):
        assert found[part] == wanted[part]
    named = {one["name"]: one["sha256"] for one in found["provenance"]["data"]["files"]}
    assert named["document.npy"] == source_of(tmp_path / "document.npy").sha256
    assert "query.npy" in named


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--results", "run.txt"], "--results takes the place of vectors"),
        (["--index", "live"], "--document-vectors and --index exclude each other"),
        (["--beir", "folder"], "--beir takes the place of"),
    ],
)
def test_tables_beside_what_takes_their_place_are_refused(
    crossalign: Any, tables: list[str | Path], options: list[str], message: str
) -> None:
    kept = [one for one in tables if options[0] != "--index" or "vectors" in str(one) or str(one).endswith(".npy")]
    done = crossalign("audit", *kept, *options)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1


def test_a_table_of_another_size_is_refused_before_anything_is_computed(
    crossalign: Any, tables: list[str | Path], tmp_path: Path
) -> None:
    np.save(tmp_path / "query.npy", np.ones((1, 2), dtype=np.float32))
    target = tmp_path / "a.json"
    done = crossalign("audit", *tables, "--json", target)
    assert done.code == 2
    assert "query.npy: the number of vectors is not that of the queries" in done.err
    assert not target.exists()

"""docs/balance.md: its code runs, and its table is that of the results."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from haystack import Document
from haystack.document_stores.in_memory import InMemoryDocumentStore

_NAMES = {
    "base model, plain search": ("base", "plain search"),
    "base model, `LanguageBalancedRetriever`": ("base", "balanced retriever"),
    "repaired, plain search": ("repaired", "plain search"),
    "repaired, `OwnLanguageRanker`, bonus 0.01 of the cosine": ("repaired", "own-language ranker, bonus 0.01"),
    "repaired, `LanguageBalancedRetriever`": ("repaired", "balanced retriever"),
}


def cells(path: Path) -> list[list[str]]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_gives_the_measured_figures(project_root: Path) -> None:
    measured = {
        (row[0], row[1], row[2]): (row[3], row[4])
        for row in cells(project_root / "benchmarks" / "results" / "balance.md")
    }
    shown = {row[0]: row[1:] for row in cells(project_root / "docs" / "balance.md") if row[0] in _NAMES}
    assert shown.keys() == _NAMES.keys()
    for name, key in _NAMES.items():
        english, chinese = measured[*key, "en"], measured[*key, "zh"]
        assert shown[name] == [f"{en} / {zh} %" for en, zh in zip(english, chinese, strict=True)]


def test_the_code_runs_as_it_stands(project_root: Path) -> None:
    text = (project_root / "docs" / "balance.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    store = InMemoryDocumentStore(embedding_similarity_function="cosine")
    store.write_documents(
        [
            Document(id=f"{tag}{number}", content="a", meta={"language": tag}, embedding=[1.0, number / 10])
            for tag in ("en", "de", "zh")
            for number in range(5)
        ]
    )
    names: dict[str, Any] = {"store": store, "vector": [1.0, 0.0]}
    exec(compile(code, "balance.md", "exec"), names)  # noqa: S102 - our own page
    # German in front, then the order that the page gives.
    assert [one.id for one in names["documents"][:6]] == ["de0", "en0", "zh0", "de1", "en1", "zh1"]
    assert len(names["documents"]) == 10

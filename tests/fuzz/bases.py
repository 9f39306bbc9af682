"""Valid inputs, from which every mutation starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["EMBEDDER", "GENERATOR", "JOB", "NOWHERE", "PIPELINE", "RECIPE", "write_bases"]

GROUPS = 4
NOWHERE = "./nowhere"
"""A model that is not there: what comes before it is read, and nothing is embedded."""


def write_bases(folder: Path) -> None:
    """Valid inputs of all kinds, from which every mutation starts."""
    documents, queries = [], []
    for group in range(GROUPS):
        content = [float(place == group) for place in range(GROUPS)]
        for language, side in (("en", [1.0, 0.0]), ("zh", [0.0, 1.0])):
            documents.append(
                {"id": f"{language}:{group}", "text": f"text {group} in {language}", "title": f"title {group}",
                 "language": language, "parallel_id": str(group), "embedding": content + side}
            )  # fmt: skip
        queries.append(
            {"id": f"q{group}", "text": f"question {group}", "language": "zh", "parallel_id": str(group),
             "relevant": [f"en:{group}", f"zh:{group}"], "embedding": [*content, 0.0, 2.0]}
        )  # fmt: skip
    _lines(folder / "documents.jsonl", documents)
    _lines(folder / "queries.jsonl", queries)
    bare = [{key: value for key, value in query.items() if key not in ("relevant", "parallel_id")} for query in queries]
    _lines(folder / "bare.jsonl", bare)
    pairs = [(query["id"], name) for query in queries for name in query["relevant"]]
    _text(folder / "queries.tsv", ["query-id\ttext", *(f"{q['id']}\t{q['text']}" for q in queries)])
    _text(folder / "qrels.txt", [f"{query} 0 {name} 1" for query, name in pairs])
    ranked = [(query["id"], [document["id"] for document in documents]) for query in queries]
    _text(
        folder / "run.txt",
        [f"{query} Q0 {name} {rank} {1 / rank} tag" for query, names in ranked for rank, name in enumerate(names, 1)],
    )
    beir = folder / "beir"
    (beir / "qrels").mkdir(parents=True)
    corpus = [
        {**d, "_id": d["id"], "metadata": {"language": d["language"], "parallel_id": d["parallel_id"]}}
        for d in documents
    ]
    _lines(beir / "corpus.jsonl", corpus)
    _lines(beir / "queries.jsonl", [{**q, "_id": q["id"]} for q in queries])
    _text(
        beir / "qrels" / "test.tsv", ["query-id\tcorpus-id\tscore", *(f"{query}\t{name}\t1" for query, name in pairs)]
    )
    for tag in ("en", "zh"):
        (folder / f"xquad.{tag}.json").write_text(
            json.dumps(
                {"version": "1", "data": [{"title": "t", "paragraphs": [
                    {"context": f"context {n} in {tag}", "qas": [
                        {"id": f"{n}", "question": f"question {n} in {tag}?",
                         "answers": [{"text": "context", "answer_start": 0}]}]} for n in range(3)]}]}
            ),
            encoding="utf-8",
        )  # fmt: skip
    for tag in ("eng_Latn", "zho_Hans"):
        _lines(
            folder / f"{tag}.jsonl",
            [{"link": f"l{n}", "question_number": 1, "flores_passage": f"passage {n} {tag}",
              "question": f"question {n} {tag}", "dialect": tag, "mc_answer1": "a", "mc_answer2": "b",
              "mc_answer3": "c", "mc_answer4": "d", "correct_answer_num": "1", "ds": "2023-05-03"} for n in range(3)],
        )  # fmt: skip
    triplets = [
        {"id": f"t{n}", "query": f"what is question number {n}", "passage": f"the passage number {n}",
         "target": f"第{n}段文字的内容", "target_language": "zh", "language": "en"} for n in range(4)
    ]  # fmt: skip
    _lines(folder / "triplets.jsonl", triplets)
    _text(
        folder / "triplets.tsv",
        [
            "query\tpassage\ttarget\ttarget_language",
            *(f"what is {n}\tthe passage {n}\t第{n}段文字\tzh" for n in range(4)),
        ],
    )
    _lines(folder / "pairs.jsonl", [{key: one[key] for key in ("id", "query", "passage")} for one in triplets])
    _text(folder / "pairs.tsv", ["query\tpassage", *(f"what is {n}\tthe passage {n}" for n in range(4))])
    # Sentences that are long enough to be taken, in blocks of four.
    sentence = "The harbor of the old town, number {}, was built by merchants three hundred years ago."
    aligned = [
        {
            "line": n,
            "doc": f"d{n // 8}",
            "en": sentence.format(n),
            "zh": f"老城的第{n}个港口是三百年前由商人建造的,至今还在使用。",
        }
        for n in range(16)
    ]
    _lines(folder / "ntrex.jsonl", aligned)
    _lines(folder / "tico19.jsonl", aligned)
    _lines(
        folder / "course_sections.jsonl",
        [{"repo": "r", "file": f"{n}.md", "k": 1, "title": f"title {n}", "heading": f"The harbor number {n}",
          "p": {"en": sentence.format(n), "zh": f"第{n}个港口是商人建造的。"}} for n in range(4)],
    )  # fmt: skip
    _lines(
        folder / "squad.jsonl",
        [{"id": f"s{n}", "title": f"t{n % 2}", "q_en": f"who built harbor {n}", "p_en": sentence.format(n),
          "p_zh": f"第{n}个港口是商人建造的。", "q_zh": f"谁建造了第{n}个港口?"} for n in range(4)],
    )  # fmt: skip
    (folder / "drop.json").write_text(json.dumps({"one": ["s1", "d0"], "other": ["s2"]}), encoding="utf-8")
    (folder / "settings.toml").write_text(
        "[profiles.i]\nhosts = ['http://127.0.0.1:1']\nindex = 'i'\ntimeout = 1\npatience = 0.01\n"
        "group_field = 'g'\nverify_tls = true\n",
        encoding="utf-8",
    )


RECIPE: dict[str, Any] = {
    "name": "r", "model": {"name": NOWHERE, "max_tokens": 16}, "language": "en", "languages": ["zh"],
    "start": {"kind": "base"}, "data": [{"path": "triplets.jsonl", "format": "triplets", "limit": 5}],
    "optimiser": {"learning_rate": 1e-5, "epochs": 1}, "seed": 0,
}  # fmt: skip
JOB: dict[str, Any] = {
    "name": "j", "models": "models", "keep": 2, "method": "repair", "model": NOWHERE, "languages": ["zh"],
    "source": {"files": [{"path": "documents.jsonl", "format": "auto"}]},
    "filters": {"language": True, "length_ratio": 2.5}, "audit": {"share": 0.2, "limit": 10},
    "gate": {"fail_on": ["Max@R_norm<80%"], "tolerance": 0.005}, "seed": 0,
}  # fmt: skip
PIPELINE: dict[str, Any] = {
    "components": {
        "joiner": {"type": "haystack.components.joiners.document_joiner.DocumentJoiner", "init_parameters": {"top_k": 3}},
        "retriever": {
            "type": "haystack.components.retrievers.in_memory.bm25_retriever.InMemoryBM25Retriever",
            "init_parameters": {"document_store": {
                "type": "haystack.document_stores.in_memory.document_store.InMemoryDocumentStore",
                "init_parameters": {"bm25_algorithm": "BM25L"}}, "top_k": 3},
        },
    },
    "connections": [{"sender": "retriever.documents", "receiver": "joiner.documents"}],
}  # fmt: skip
GENERATOR: dict[str, Any] = {
    "type": "haystack.components.generators.chat.openai.OpenAIChatGenerator",
    "init_parameters": {"model": "m", "api_key": {"type": "env_var", "env_vars": ["OPENAI_API_KEY"], "strict": False}},
}
EMBEDDER: dict[str, Any] = {
    "components": {
        "text": {"type": "haystack.components.embedders.openai_text_embedder.OpenAITextEmbedder", "init_parameters": {}},
        "documents": {
            "type": "haystack.components.embedders.openai_document_embedder.OpenAIDocumentEmbedder",
            "init_parameters": {"model": "m"},
        },
    },
    "connections": [],
}  # fmt: skip


def _lines(path: Path, values: list[dict[str, Any]]) -> None:
    _text(path, [json.dumps(value) for value in values])


def _text(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

"""The kinds of user input: a valid base of each, how it is mutated, and the call that reads it."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bases import EMBEDDER, GENERATOR, JOB, NOWHERE, PIPELINE, RECIPE, write_bases
from cases import (
    QUICK,
    Case,
    Kind,
    audit,
    beir,
    benchmark,
    of_bytes,
    of_gzip,
    of_json,
    of_lines,
    of_yaml,
    option,
    path_option,
)  # fmt: skip
from mutations import mutated_json, odd_text
from written_kinds import filtered, written_kinds

__all__ = ["KINDS", "Case", "Kind", "write_bases"]


def _environment(folder: Path, _: Path, chance: random.Random) -> Case:
    names = ("hosts", "user", "timeout", "auth", "depth", "batch", "verify-tls", "index", "group-field", "max-load")
    given = ["doctor", "--hosts", "http://127.0.0.1:1", "--index", "i", "--timeout", "1"]
    for name in chance.sample(names, 2):
        given += [f"--{name}", odd_text(chance)]
    return [*given, "--json", str(folder / "out.json")]


def _filter(folder: Path, _: Path, chance: random.Random) -> Case:
    from haystack_crossalign.opensearch.index.user_filter import read_filter

    base = {"operator": "AND", "conditions": [{"field": "meta.a", "operator": "==", "value": 1}]}
    text = mutated_json(base if chance.random() < 0.5 else {"term": {"a": "b"}}, chance)
    if chance.random() < 0.5:
        path = folder / "filter.json"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        text = str(path)
    return lambda: read_filter(text)


def _server(folder: Path, _: Path, chance: random.Random) -> Case:
    from server_answers import odd_server

    with_url = odd_server(chance)
    command = chance.choice(("doctor", "audit"))

    def run() -> None:
        from haystack_crossalign.cli.main import main

        with with_url as url:
            given = ["--hosts", url, "--index", "i", "--timeout", "5", "--group-field", "g"]
            if command == "audit":
                given += ["--patience", "0.01", "--probes", "2", "--samples", "100", "--dry-run"]
            main([command, *given, "--json", str(folder / "out.json")])

    return run


def _ranking(folder: Path, _: Path, chance: random.Random) -> Case:
    """An audit with queries that have vectors, up to its result: answers of a real server, one of them odd."""
    from server_answers import QUERIES, odd_recording

    path = folder / "live.jsonl"
    path.write_text(QUERIES, encoding="utf-8")
    with_url = odd_recording(chance)

    def run() -> None:
        from haystack_crossalign.cli.main import main

        with with_url as url:
            given = ["--hosts", url, "--index", "i", "--timeout", "5", "--group-field", "g", "--patience", "0.01"]
            given += ["--queries", str(path), "--live", "knn,bm25", "--batch", "4", *QUICK]
            main(["audit", *given, "--json", str(folder / "out.json"), "--report", str(folder / "out.html")])

    return run


def kinds() -> Iterator[Kind]:
    """All kinds of input."""
    queries = lambda bases: bases / "queries.jsonl"
    documents = lambda bases: bases / "documents.jsonl"
    yield Kind("documents", of_lines("documents.jsonl", lambda f, b, p: audit(f, documents=p, queries=queries(b))))
    yield Kind("queries", of_lines("queries.jsonl", lambda f, b, p: audit(f, documents=documents(b), queries=p)))
    yield Kind(
        "qrels",
        of_lines("qrels.txt", lambda f, b, p: audit(f, documents=documents(b), queries=b / "bare.jsonl", qrels=p), " "),
    )
    yield Kind(
        "queries of TSV",
        of_lines(
            "queries.tsv",
            lambda f, b, p: [
                *audit(f, documents=documents(b), queries=p, qrels=b / "qrels.txt"),
                "--model",
                NOWHERE,
                "--query-language",
                "zh",
            ],
            "\t",
        ),
    )
    yield Kind(
        "run",
        of_lines("run.txt", lambda f, b, p: audit(f, documents=documents(b), queries=queries(b), results=p), " "),
    )
    yield Kind(
        "run bytes",
        of_bytes("run.txt", lambda f, b, p: audit(f, documents=documents(b), queries=queries(b), results=p)),
    )
    yield Kind(
        "documents bytes", of_bytes("documents.jsonl", lambda f, b, p: audit(f, documents=p, queries=queries(b)))
    )
    yield Kind("BEIR corpus", beir("corpus.jsonl"))
    yield Kind("BEIR queries", beir("queries.jsonl"))
    yield Kind("BEIR qrels", beir("qrels/test.tsv", "\t"))
    yield Kind("XQuAD", benchmark("xquad", ("xquad.en.json", "xquad.zh.json"), "en,zh"))
    yield Kind("Belebele", benchmark("belebele", ("eng_Latn.jsonl", "zho_Hans.jsonl"), "en,zh"))
    yield Kind(
        "convert",
        of_lines(
            "queries.jsonl",
            lambda f, b, p: ["convert", "--documents", str(documents(b)), "--queries", str(p), "--qrels-out",
                             str(f / "out.txt"), "--beir-out", str(f / "beir"), "--workbench-out", str(f / "w.json")],
        ),
    )  # fmt: skip
    yield Kind(
        "Workbench",
        of_json(
            "workbench.json",
            lambda f, b, p: audit(f, documents=documents(b), queries=b / "bare.jsonl", workbench=p),
        ),
    )
    compared = lambda f, a, b: ["compare", str(a), str(b), *QUICK, "--permutations", "100", "--json", str(f / "out.json"),
                                "--report", str(f / "out.html"), "--markdown", str(f / "out.md")]  # fmt: skip
    yield Kind("result before", of_json("result.json", lambda f, b, p: compared(f, p, b / "result.json")))
    yield Kind("result after", of_json("result.json", lambda f, b, p: compared(f, b / "result.json", p)))
    yield Kind("result bytes", of_bytes("result.json", lambda f, b, p: compared(f, b / "result.json", p)))
    yield Kind("recipe", of_yaml(RECIPE, lambda f, b, p: _read_recipe(p)))
    yield Kind("job", of_yaml(JOB, lambda f, b, p: _read_job(p)))
    yield Kind("pipeline", of_yaml(PIPELINE, lambda f, b, p: _read_pipeline(p)))
    yield Kind("embedder", of_yaml(EMBEDDER, lambda f, b, p: _read_embedder(p)))
    yield Kind("generator", of_yaml(GENERATOR, lambda f, b, p: _read_generator(p)))
    yield Kind(
        "profile",
        of_lines(
            "settings.toml",
            lambda f, b, p: ["doctor", "--config", str(p), "--profile", "i", "--json", str(f / "out.json")],
            " = ",
        ),
    )
    yield Kind("triplets", of_lines("triplets.jsonl", filtered))
    yield Kind("triplets of TSV", of_lines("triplets.tsv", filtered, "\t"))
    yield Kind(
        "parallel documents",
        of_lines(
            "documents.jsonl",
            lambda f, b, p: ["triplets", "build", "--documents", str(p), "--queries", str(queries(b)), "--languages", "zh",
                             "--output", str(f / "out.jsonl"), "--report", str(f / "out.json")],
        ),
    )  # fmt: skip
    yield Kind(
        "texts to repair by",
        of_lines(
            "documents.jsonl",
            lambda f, b, p: ["repair", "--parallel", str(p), "--model", NOWHERE, "--output", str(f / "repaired")],
        ),
    )
    yield Kind("filter", _filter)
    yield Kind("gate", option("--fail-on"))
    yield Kind("measures", option("--measures"))
    yield Kind("languages", option("--languages", "--pairs", "--scenario"))
    yield Kind("names of fields", option("--language-field", "--group-field", "--query-language"))
    yield Kind("numbers", option("--seed", "--samples", "--run-depth", "--max-tokens"))
    yield Kind("outputs", path_option("--json", "--report", "--markdown", "--junit", "--run", "--qrels-out"))
    yield Kind("inputs", path_option("--documents", "--queries", "--qrels", "--workbench", "--beir", "--results"))
    yield Kind("settings", _environment)
    yield Kind("server", _server)
    yield Kind("ranking by a server", _ranking)
    packed = lambda f, b, p: audit(f, documents=p, queries=queries(b))
    yield Kind("documents of gzip", of_gzip("documents.jsonl", packed))
    yield Kind("documents of gzip by another name", of_gzip("documents.jsonl", packed, plain_name=True))
    yield Kind(
        "run of gzip",
        of_gzip("run.txt", lambda f, b, p: audit(f, documents=documents(b), queries=queries(b), results=p)),
    )
    for name in ("ntrex", "tico19", "course_sections", "squad"):
        yield Kind(f"corpus {name}", of_lines(f"{name}.jsonl", _built(name)))
    yield Kind(
        "ids to drop",
        of_json("drop.json", lambda f, b, p: [*_built("squad")(f, b, b / "squad.jsonl"), "--drop", str(p)]),
    )
    yield Kind("pairs to translate", of_lines("pairs.jsonl", _estimated))
    yield Kind("pairs of TSV", of_lines("pairs.tsv", _estimated, "\t"))
    yield Kind(
        "evaluation of triplets",
        of_lines("triplets.jsonl", lambda f, b, p: [*filtered(f, b, b / "triplets.tsv"), "--evaluation", str(p)]),
    )
    mined = lambda f, d, q: ["triplets", "mine", "--documents", str(d), "--queries", str(q), "--languages", "zh",
                             "--model", NOWHERE, "--output", str(f / "out.jsonl")]  # fmt: skip
    yield Kind("documents to mine", of_lines("documents.jsonl", lambda f, b, p: mined(f, p, queries(b))))
    yield Kind("queries to mine by", of_lines("queries.jsonl", lambda f, b, p: mined(f, documents(b), p)))
    yield Kind(
        "held-out texts",
        of_lines(
            "documents.jsonl",
            lambda f, b, p: ["repair", "--parallel", str(documents(b)), "--held-out", str(p), "--model", NOWHERE,
                             "--output", str(f / "repaired")],
        ),
    )  # fmt: skip
    yield Kind(
        "profile bytes",
        of_bytes("settings.toml", lambda f, b, p: ["doctor", "--config", str(p), "--profile", "i", "--json",
                                                   str(f / "out.json")]),
    )  # fmt: skip
    yield from written_kinds()


def _built(corpus: str) -> Callable[[Path, Path, Path], list[str]]:
    def run(folder: Path, _: Path, path: Path) -> list[str]:
        given = ["triplets", "build", "--corpus", corpus, "--input", str(path), "--languages", "zh"]
        return [*given, "--output", str(folder / "out.jsonl"), "--report", str(folder / "out.json")]

    return run


def _estimated(folder: Path, _: Path, path: Path) -> Case:
    """Translation up to the estimate: the files are read, and nobody is asked."""
    generator = folder / "generator.yaml"
    generator.write_text(json.dumps(GENERATOR), encoding="utf-8")
    given = ["triplets", "translate", "--pairs", str(path), "--languages", "zh", "--generator", str(generator)]
    return [*given, "--estimate", "--cache", str(folder / "cache.jsonl"), "--output", str(folder / "out.jsonl")]


def _read_recipe(path: Path) -> Case:
    from haystack_crossalign.training.recipe.recipe import read_recipe

    return lambda: read_recipe(path)


def _read_job(path: Path) -> Case:
    from haystack_crossalign.retrain.config import read_job

    return lambda: read_job(path)


def _read_pipeline(path: Path) -> Case:
    from haystack_crossalign.pipelines.retriever import QueryPipeline

    return lambda: QueryPipeline.from_yaml(path, environ={})


def _read_embedder(path: Path) -> Case:
    from haystack_crossalign.pipelines.embedder import PipelineEmbedder

    return lambda: PipelineEmbedder.from_yaml(path)


def _read_generator(path: Path) -> Case:
    from haystack_crossalign.triplets.translation.chat_generator import read_generator

    return lambda: read_generator(path)


KINDS = tuple(kinds())
assert len({kind.name for kind in KINDS}) == len(KINDS), sys.argv

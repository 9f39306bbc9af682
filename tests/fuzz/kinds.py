"""The kinds of user input: a valid base of each, how it is mutated, and the call that reads it."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutations import mutated_bytes, mutated_json, mutated_lines, odd_text

__all__ = ["KINDS", "Case", "Kind", "write_bases"]

Case = list[str] | Callable[[], object]
"""Arguments of the program, or a call of the library whose errors are those of the program."""


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    :param name: for messages.
    :param prepare: writes one mutated input into an empty folder and says what is to be run.
    """

    name: str
    prepare: Callable[[Path, Path, random.Random], Case]


GROUPS = 4
NOWHERE = "./nowhere"
"""A model that is not there: what comes before it is read, and nothing is embedded."""
QUICK = ["--samples", "100"]


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
ALIASES = (
    "a: &a [*a]", "<<: *x", "&a a: *a", "? [a]\n: b", "!!python/object:os.system {}", "a: 1\na: 2", "%YAML 9.9\n---\na: 1",
    "a: !!binary x", "- a\n- b", "--- a\n--- b", "a: 2001-99-99", "\ta: 1", "a: 'x", "@a", "a: &b {c: *b}",
)  # fmt: skip


def _yaml(value: Any, chance: random.Random) -> bytes:
    if chance.random() < 0.15:
        return (json.dumps(value, indent=1) + "\n" + chance.choice(ALIASES)).encode()
    if chance.random() < 0.1:
        return chance.choice(ALIASES).encode()
    return mutated_json(value, chance).encode("utf-8", "surrogatepass")


def _audit(folder: Path, **files: Path) -> list[str]:
    names = [part for option, path in files.items() for part in (f"--{option}", str(path))]
    return ["audit", *names, *QUICK, "--json", str(folder / "out.json"), "--report", str(folder / "out.html")]


def _of_lines(base: str, run: Callable[[Path, Path, Path], Case], separator: str | None = None) -> Any:
    def prepare(folder: Path, bases: Path, chance: random.Random) -> Case:
        path = folder / Path(base).name
        path.write_bytes(
            mutated_lines((bases / base).read_text(encoding="utf-8").splitlines(), chance, separator=separator)
        )
        return run(folder, bases, path)

    return prepare


def _of_json(base: str, run: Callable[[Path, Path, Path], Case]) -> Any:
    def prepare(folder: Path, bases: Path, chance: random.Random) -> Case:
        path = folder / Path(base).name
        text = mutated_json(json.loads((bases / base).read_text(encoding="utf-8")), chance)
        raw = text.encode("utf-8", "surrogatepass")
        path.write_bytes(mutated_bytes(raw, chance) if chance.random() < 0.1 else raw)
        return run(folder, bases, path)

    return prepare


def _of_bytes(base: str, run: Callable[[Path, Path, Path], Case]) -> Any:
    def prepare(folder: Path, bases: Path, chance: random.Random) -> Case:
        path = folder / Path(base).name
        path.write_bytes(mutated_bytes((bases / base).read_bytes(), chance))
        return run(folder, bases, path)

    return prepare


def _of_yaml(value: Any, run: Callable[[Path, Path, Path], Case]) -> Any:
    def prepare(folder: Path, bases: Path, chance: random.Random) -> Case:
        path = folder / "file.yaml"
        path.write_bytes(_yaml(value, chance))
        for name in ("triplets.jsonl", "documents.jsonl"):
            (folder / name).write_bytes((bases / name).read_bytes())
        return run(folder, bases, path)

    return prepare


def _beir(file: str, separator: str | None = None) -> Any:
    def prepare(folder: Path, bases: Path, chance: random.Random) -> Case:
        (folder / "beir" / "qrels").mkdir(parents=True)
        for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
            raw = (bases / "beir" / name).read_bytes()
            if name == file:
                raw = mutated_lines(raw.decode().splitlines(), chance, separator=separator)
            (folder / "beir" / name).write_bytes(raw)
        return _audit(folder, beir=folder / "beir", results=bases / "run.txt")

    return prepare


def _benchmark(name: str, files: tuple[str, str], languages: str) -> Any:
    def prepare(folder: Path, bases: Path, chance: random.Random) -> Case:
        data = folder / "data"
        data.mkdir()
        first, second = files if chance.random() < 0.5 else files[::-1]
        (data / second).write_bytes((bases / second).read_bytes())
        text = (bases / first).read_text(encoding="utf-8")
        if first.endswith(".json"):
            raw = mutated_json(json.loads(text), chance).encode("utf-8", "surrogatepass")
        else:
            raw = mutated_lines(text.splitlines(), chance)
        (data / first).write_bytes(raw)
        return ["benchmark", name, "--data", str(data), "--languages", languages, "--model", NOWHERE]

    return prepare


def _option(*options: str) -> Any:
    def prepare(folder: Path, bases: Path, chance: random.Random) -> Case:
        given = _audit(folder, documents=bases / "documents.jsonl", queries=bases / "queries.jsonl")
        for option in chance.sample(options, min(len(options), chance.choice((1, 1, 2)))):
            valid = {
                "--fail-on": "Max@R[zh]<1", "--measures": "Max@R,nDCG@10", "--languages": "en,zh", "--pairs": "en",
                "--scenario": "multi,mono-same", "--seed": "1", "--run-depth": "5",
            }.get(option, "x")  # fmt: skip
            text = odd_text(chance) if chance.random() < 0.6 else _spoiled(valid, chance)
            given += [option, text] if chance.random() < 0.5 else [f"{option}={text}"]
        return given

    return prepare


def _spoiled(text: str, chance: random.Random) -> str:
    place = chance.randrange(len(text) + 1)
    return text[:place] + chance.choice(("", "@", "[", "]", "<", "%", ",", "0" * 400, "e999", " ")) + text[place + 1 :]


def _path_option(*options: str) -> Any:
    def prepare(folder: Path, bases: Path, chance: random.Random) -> Case:
        (folder / "loop").symlink_to("loop")
        (folder / "broken").symlink_to("none/file")
        (folder / "file").write_text("x", encoding="utf-8")
        odd = ["loop", "broken", "file/below", ".", "..", "", "x" * 300, "none/file", "\x1b[2J\n", "-", "/dev/null"]
        name = chance.choice([*odd, odd_text(chance)])
        path = name if name.startswith(("/", "-")) or not name else f"{folder}/{name}"
        option = chance.choice(options)
        return [*_audit(folder, documents=bases / "documents.jsonl", queries=bases / "queries.jsonl"), option, path]

    return prepare


def _environment(folder: Path, _: Path, chance: random.Random) -> Case:
    names = ("hosts", "user", "timeout", "auth", "depth", "batch", "verify-tls", "index", "group-field", "max-load")
    given = ["doctor", "--hosts", "http://127.0.0.1:1", "--index", "i", "--timeout", "1"]
    for name in chance.sample(names, 2):
        given += [f"--{name}", odd_text(chance)]
    return [*given, "--json", str(folder / "out.json")]


def _checkpoint(folder: Path, _: Path, chance: random.Random) -> Case:
    from haystack_crossalign.opensearch.audit.checkpoint import Checkpoint

    path, parts = folder / "state", {"index": "a", "queries": "b"}
    state = Checkpoint(path, parts)
    for unit in range(3):
        state.add(unit, {"ranks": [1, 2.5, None]})
    state.close()
    path.write_bytes(mutated_lines(path.read_text(encoding="utf-8").splitlines(), chance))
    return lambda: Checkpoint(path, parts, resume=True).close()


def _cache(folder: Path, _: Path, chance: random.Random) -> Case:
    from haystack_crossalign.triplets.translation.cache import Answer, TranslationCache

    path = folder / "cache.jsonl"
    with TranslationCache(path) as cache:
        for number in range(3):
            cache.add(f"key{number}", Answer(f"answer {number}"), {"language": "zh"})
    path.write_bytes(mutated_lines(path.read_text(encoding="utf-8").splitlines(), chance))

    def read() -> None:
        with TranslationCache(path) as cache:
            cache.answers("key1")

    return read


def _matrix(folder: Path, _: Path, chance: random.Random) -> Case:
    import numpy as np

    from haystack_crossalign.repair.affine import AffineMap
    from haystack_crossalign.repair.matrix_file import read_matrix_file, write_matrix_file

    path = folder / "matrix.safetensors"
    write_matrix_file(AffineMap(np.eye(4, dtype=np.float32), np.zeros(4, np.float32)), path)
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    if chance.random() < 0.6:
        head = mutated_json(json.loads(raw[8 : 8 + size]), chance).encode("utf-8", "surrogatepass")
        path.write_bytes(len(head).to_bytes(8, "little") + head + raw[8 + size :])
    else:
        path.write_bytes(mutated_bytes(raw, chance))
    return lambda: read_matrix_file(path)


def _filter(folder: Path, _: Path, chance: random.Random) -> Case:
    from haystack_crossalign.opensearch.index.user_filter import read_filter

    base = {"operator": "AND", "conditions": [{"field": "meta.a", "operator": "==", "value": 1}]}
    text = mutated_json(base if chance.random() < 0.5 else {"term": {"a": "b"}}, chance)
    if chance.random() < 0.5:
        path = folder / "filter.json"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        text = str(path)
    return lambda: read_filter(text)


def _parquet(folder: Path, bases: Path, chance: random.Random) -> Case:
    path = folder / "triplets.parquet"
    if not (bases / "triplets.parquet").exists():
        import pyarrow
        import pyarrow.parquet

        columns = {"query": ["a", "b"], "passage": ["c", "d"], "target": ["e", "f"], "target_language": ["zh", "zh"]}
        table = pyarrow.table(columns)
        pyarrow.parquet.write_table(table, bases / "triplets.parquet")
    path.write_bytes(mutated_bytes((bases / "triplets.parquet").read_bytes(), chance))
    return _filtered(folder, bases, path)


def _filtered(folder: Path, _: Path, path: Path) -> Case:
    given = ["triplets", "filter", "--input", str(path), "--no-language", "--languages", "zh"]
    return [*given, "--output", str(folder / "out.jsonl"), "--report", str(folder / "out.json")]


def _store(folder: Path, _: Path, chance: random.Random) -> Case:
    from haystack_crossalign.retrain.store import ModelStore

    store = ModelStore(folder)
    for day in (1, 2, 3):
        (folder / f"2024-01-0{day}T00-00-00Z-00000000000{day}").mkdir()
    order = [path.name for path in sorted(folder.iterdir())]
    (folder / ".order").write_bytes(mutated_lines(order, chance, separator="-"))
    return lambda: store.prune(2)


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


def kinds() -> Iterator[Kind]:
    """All kinds of input."""
    queries = lambda bases: bases / "queries.jsonl"
    documents = lambda bases: bases / "documents.jsonl"
    yield Kind("documents", _of_lines("documents.jsonl", lambda f, b, p: _audit(f, documents=p, queries=queries(b))))
    yield Kind("queries", _of_lines("queries.jsonl", lambda f, b, p: _audit(f, documents=documents(b), queries=p)))
    yield Kind(
        "qrels",
        _of_lines(
            "qrels.txt", lambda f, b, p: _audit(f, documents=documents(b), queries=b / "bare.jsonl", qrels=p), " "
        ),
    )
    yield Kind(
        "queries of TSV",
        _of_lines(
            "queries.tsv",
            lambda f, b, p: [
                *_audit(f, documents=documents(b), queries=p, qrels=b / "qrels.txt"),
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
        _of_lines("run.txt", lambda f, b, p: _audit(f, documents=documents(b), queries=queries(b), results=p), " "),
    )
    yield Kind(
        "run bytes",
        _of_bytes("run.txt", lambda f, b, p: _audit(f, documents=documents(b), queries=queries(b), results=p)),
    )
    yield Kind(
        "documents bytes", _of_bytes("documents.jsonl", lambda f, b, p: _audit(f, documents=p, queries=queries(b)))
    )
    yield Kind("BEIR corpus", _beir("corpus.jsonl"))
    yield Kind("BEIR queries", _beir("queries.jsonl"))
    yield Kind("BEIR qrels", _beir("qrels/test.tsv", "\t"))
    yield Kind("XQuAD", _benchmark("xquad", ("xquad.en.json", "xquad.zh.json"), "en,zh"))
    yield Kind("Belebele", _benchmark("belebele", ("eng_Latn.jsonl", "zho_Hans.jsonl"), "en,zh"))
    yield Kind(
        "convert",
        _of_lines(
            "queries.jsonl",
            lambda f, b, p: ["convert", "--documents", str(documents(b)), "--queries", str(p), "--qrels-out",
                             str(f / "out.txt"), "--beir-out", str(f / "beir"), "--workbench-out", str(f / "w.json")],
        ),
    )  # fmt: skip
    yield Kind(
        "Workbench",
        _of_json(
            "workbench.json",
            lambda f, b, p: _audit(f, documents=documents(b), queries=b / "bare.jsonl", workbench=p),
        ),
    )
    compared = lambda f, a, b: ["compare", str(a), str(b), *QUICK, "--permutations", "100", "--json", str(f / "out.json"),
                                "--report", str(f / "out.html"), "--markdown", str(f / "out.md")]  # fmt: skip
    yield Kind("result before", _of_json("result.json", lambda f, b, p: compared(f, p, b / "result.json")))
    yield Kind("result after", _of_json("result.json", lambda f, b, p: compared(f, b / "result.json", p)))
    yield Kind("result bytes", _of_bytes("result.json", lambda f, b, p: compared(f, b / "result.json", p)))
    yield Kind("recipe", _of_yaml(RECIPE, lambda f, b, p: _read_recipe(p)))
    yield Kind("job", _of_yaml(JOB, lambda f, b, p: _read_job(p)))
    yield Kind("pipeline", _of_yaml(PIPELINE, lambda f, b, p: _read_pipeline(p)))
    yield Kind("embedder", _of_yaml(EMBEDDER, lambda f, b, p: _read_embedder(p)))
    yield Kind("generator", _of_yaml(GENERATOR, lambda f, b, p: _read_generator(p)))
    yield Kind(
        "profile",
        _of_lines(
            "settings.toml",
            lambda f, b, p: ["doctor", "--config", str(p), "--profile", "i", "--json", str(f / "out.json")],
            " = ",
        ),
    )
    yield Kind("triplets", _of_lines("triplets.jsonl", _filtered))
    yield Kind("triplets of TSV", _of_lines("triplets.tsv", _filtered, "\t"))
    yield Kind("triplets of Parquet", _parquet)
    yield Kind(
        "parallel documents",
        _of_lines(
            "documents.jsonl",
            lambda f, b, p: ["triplets", "build", "--documents", str(p), "--queries", str(queries(b)), "--languages", "zh",
                             "--output", str(f / "out.jsonl"), "--report", str(f / "out.json")],
        ),
    )  # fmt: skip
    yield Kind(
        "texts to repair by",
        _of_lines(
            "documents.jsonl",
            lambda f, b, p: ["repair", "--parallel", str(p), "--model", NOWHERE, "--output", str(f / "repaired")],
        ),
    )
    yield Kind("state", _checkpoint)
    yield Kind("cache", _cache)
    yield Kind("matrix", _matrix)
    yield Kind("filter", _filter)
    yield Kind("order of versions", _store)
    yield Kind("gate", _option("--fail-on"))
    yield Kind("measures", _option("--measures"))
    yield Kind("languages", _option("--languages", "--pairs", "--scenario"))
    yield Kind("names of fields", _option("--language-field", "--group-field", "--query-language"))
    yield Kind("numbers", _option("--seed", "--samples", "--run-depth", "--max-tokens"))
    yield Kind("outputs", _path_option("--json", "--report", "--markdown", "--junit", "--run", "--qrels-out"))
    yield Kind("inputs", _path_option("--documents", "--queries", "--qrels", "--workbench", "--beir", "--results"))
    yield Kind("settings", _environment)
    yield Kind("server", _server)


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


def _lines(path: Path, values: list[dict[str, Any]]) -> None:
    _text(path, [json.dumps(value) for value in values])


def _text(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


KINDS = tuple(kinds())
assert len({kind.name for kind in KINDS}) == len(KINDS), sys.argv

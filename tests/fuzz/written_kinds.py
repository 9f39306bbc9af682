"""Kinds of input that only programs write: states, caches, matrices, models, Parquet, vectors."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cases import Case, Kind, audit
from mutations import mutated_bytes, mutated_json, mutated_lines

__all__ = ["filtered", "written_kinds"]


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


def _vector_table(folder: Path, _: Path, chance: random.Random) -> Case:
    """Vectors in each of their formats: a header changed as text, or any bytes."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = np.arange(1, 25, dtype=np.float32)
    rows = [
        {"id": f"{tag}{number}", "text": "a", "language": tag, "parallel_id": str(number)}
        for number in range(3)
        for tag in ("en", "zh")
    ]
    for name in ("documents", "queries"):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
        form = chance.choice(("f4", "f4", "f2", "f8", ">f4", "i4", "c8"))
        np.save(folder / f"{name}.npy", numbers.reshape(6, 4).astype(form), allow_pickle=False)
        (folder / f"{name}.fbin").write_bytes(np.array([6, 4], "<u4").tobytes() + numbers.tobytes())
        columns = {"id": [row["id"] for row in rows], "embedding": pa.FixedSizeListArray.from_arrays(numbers, 4)}
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    suffix = chance.choice(("npy", "npy", "fbin", "parquet"))
    path = folder / f"{chance.choice(('documents', 'queries'))}.{suffix}"
    raw = path.read_bytes()
    if suffix == "npy" and chance.random() < 0.5:
        head = bytearray(raw[:118])
        for _ in range(chance.randrange(1, 4)):
            head[chance.randrange(len(head))] = chance.choice(b"[]{}(),:'0123456789-<>fiOV \n\x00\xff")
        path.write_bytes(bytes(head) + raw[118:])
    else:
        path.write_bytes(mutated_bytes(raw, chance))
    files = {name: folder / f"{name}.jsonl" for name in ("documents", "queries")}
    tables = {"document-vectors": folder / f"documents.{suffix}", "query-vectors": folder / f"queries.{suffix}"}
    return audit(folder, **files, **tables)


def _parquet(folder: Path, bases: Path, chance: random.Random) -> Case:
    path = folder / "triplets.parquet"
    if not (bases / "triplets.parquet").exists():
        import pyarrow
        import pyarrow.parquet

        columns = {"query": ["a", "b"], "passage": ["c", "d"], "target": ["e", "f"], "target_language": ["zh", "zh"]}
        table = pyarrow.table(columns)
        pyarrow.parquet.write_table(table, bases / "triplets.parquet")
    path.write_bytes(mutated_bytes((bases / "triplets.parquet").read_bytes(), chance))
    return filtered(folder, bases, path)


def filtered(folder: Path, _: Path, path: Path) -> Case:
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


def _model(file: str) -> Any:
    """A model folder of which one file is damaged or says something else."""

    def prepare(folder: Path, bases: Path, chance: random.Random) -> Case:
        from haystack_crossalign.models.encoder import Encoder

        base = bases / "tiny" / "model"
        if not base.exists():
            from tiny_models import write_tiny_model

            (bases / "tiny").mkdir()
            write_tiny_model(bases / "tiny")
        shutil.copytree(base, folder / "model")
        path = folder / "model" / file
        raw = path.read_bytes()
        kind = chance.random()
        if kind < 0.05:
            path.unlink()
        elif file.endswith(".safetensors"):
            size = int.from_bytes(raw[:8], "little")
            head = mutated_json(json.loads(raw[8 : 8 + size]), chance).encode("utf-8", "surrogatepass")
            changed = len(head).to_bytes(8, "little") + head + raw[8 + size :]
            path.write_bytes(changed if kind < 0.6 else mutated_bytes(raw, chance))
        elif kind < 0.85:
            path.write_bytes(mutated_json(json.loads(raw), chance).encode("utf-8", "surrogatepass"))
        else:
            path.write_bytes(mutated_bytes(raw, chance))

        def embed() -> None:
            encoder = Encoder(str(folder / "model"), device="cpu", precision="fp32")
            encoder.encode_queries(["w1 w2", "w3 " * 40])
            encoder.encode_documents(["w4"])

        return embed

    return prepare


def written_kinds() -> Iterator[Kind]:
    """All of them."""
    yield Kind("triplets of Parquet", _parquet)
    yield Kind("table of vectors", _vector_table)
    yield Kind("state", _checkpoint)
    yield Kind("cache", _cache)
    yield Kind("matrix", _matrix)
    yield Kind("order of versions", _store)
    yield Kind("config of a model", _model("config.json"))
    yield Kind("modules of a model", _model("modules.json"))
    yield Kind("settings of a model", _model("config_sentence_transformers.json"))
    yield Kind("limits of a model", _model("sentence_bert_config.json"))
    yield Kind("pooling of a model", _model("1_Pooling/config.json"))
    yield Kind("tokenizer of a model", _model("tokenizer.json"))
    yield Kind("settings of a tokenizer", _model("tokenizer_config.json"))
    yield Kind("weights of a model", _model("model.safetensors"))

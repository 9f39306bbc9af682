"""What a kind of input is, and how inputs of one form are mutated and handed to the program."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bases import NOWHERE
from mutations import mutated_bytes, mutated_json, mutated_lines, odd_text

__all__ = [
    "QUICK", "Case", "Kind", "audit", "beir", "benchmark", "of_bytes", "of_gzip", "of_json", "of_lines", "of_yaml",
    "option", "path_option",
]  # fmt: skip

QUICK = ["--samples", "100"]
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


ALIASES = (
    "a: &a [*a]", "<<: *x", "&a a: *a", "? [a]\n: b", "!!python/object:os.system {}", "a: 1\na: 2", "%YAML 9.9\n---\na: 1",
    "a: !!binary x", "- a\n- b", "--- a\n--- b", "a: 2001-99-99", "\ta: 1", "a: 'x", "@a", "a: &b {c: *b}",
)  # fmt: skip


def yaml(value: Any, chance: random.Random) -> bytes:
    if chance.random() < 0.15:
        return (json.dumps(value, indent=1) + "\n" + chance.choice(ALIASES)).encode()
    if chance.random() < 0.1:
        return chance.choice(ALIASES).encode()
    return mutated_json(value, chance).encode("utf-8", "surrogatepass")


def audit(folder: Path, **files: Path) -> list[str]:
    names = [part for option, path in files.items() for part in (f"--{option}", str(path))]
    return ["audit", *names, *QUICK, "--json", str(folder / "out.json"), "--report", str(folder / "out.html")]


def of_lines(base: str, run: Callable[[Path, Path, Path], Case], separator: str | None = None) -> Any:
    def prepare(folder: Path, bases: Path, chance: random.Random) -> Case:
        path = folder / Path(base).name
        path.write_bytes(
            mutated_lines((bases / base).read_text(encoding="utf-8").splitlines(), chance, separator=separator)
        )
        return run(folder, bases, path)

    return prepare


def of_json(base: str, run: Callable[[Path, Path, Path], Case]) -> Any:
    def prepare(folder: Path, bases: Path, chance: random.Random) -> Case:
        path = folder / Path(base).name
        text = mutated_json(json.loads((bases / base).read_text(encoding="utf-8")), chance)
        raw = text.encode("utf-8", "surrogatepass")
        path.write_bytes(mutated_bytes(raw, chance) if chance.random() < 0.1 else raw)
        return run(folder, bases, path)

    return prepare


def of_bytes(base: str, run: Callable[[Path, Path, Path], Case]) -> Any:
    def prepare(folder: Path, bases: Path, chance: random.Random) -> Case:
        path = folder / Path(base).name
        path.write_bytes(mutated_bytes((bases / base).read_bytes(), chance))
        return run(folder, bases, path)

    return prepare


def of_gzip(base: str, run: Callable[[Path, Path, Path], Case], *, plain_name: bool = False) -> Any:
    """A packed file: its content mutated before, or the archive behind; told by its first bytes, whatever its name."""

    def prepare(folder: Path, bases: Path, chance: random.Random) -> Case:
        path = folder / (Path(base).name if plain_name else f"{Path(base).name}.gz")
        raw = (bases / base).read_bytes()
        if chance.random() < 0.4:
            raw = mutated_lines(raw.decode("utf-8").splitlines(), chance)
        packed = gzip.compress(raw, mtime=0)
        kind = chance.randrange(5)
        if kind == 0:
            packed = packed[: chance.randrange(len(packed))]
        elif kind == 1:
            packed += chance.choice((b"\0" * 20, b"trailing", packed, packed[:12]))
        elif kind == 2:
            packed = mutated_bytes(packed, chance)
        elif kind == 3:
            packed = gzip.compress(packed, mtime=0)
        path.write_bytes(packed)
        return run(folder, bases, path)

    return prepare


def of_yaml(value: Any, run: Callable[[Path, Path, Path], Case]) -> Any:
    def prepare(folder: Path, bases: Path, chance: random.Random) -> Case:
        path = folder / "file.yaml"
        path.write_bytes(yaml(value, chance))
        for name in ("triplets.jsonl", "documents.jsonl"):
            (folder / name).write_bytes((bases / name).read_bytes())
        return run(folder, bases, path)

    return prepare


def beir(file: str, separator: str | None = None) -> Any:
    def prepare(folder: Path, bases: Path, chance: random.Random) -> Case:
        (folder / "beir" / "qrels").mkdir(parents=True)
        for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
            raw = (bases / "beir" / name).read_bytes()
            if name == file:
                raw = mutated_lines(raw.decode().splitlines(), chance, separator=separator)
            (folder / "beir" / name).write_bytes(raw)
        return audit(folder, beir=folder / "beir", results=bases / "run.txt")

    return prepare


def benchmark(name: str, files: tuple[str, str], languages: str) -> Any:
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


def option(*options: str) -> Any:
    def prepare(folder: Path, bases: Path, chance: random.Random) -> Case:
        given = audit(folder, documents=bases / "documents.jsonl", queries=bases / "queries.jsonl")
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


def path_option(*options: str) -> Any:
    def prepare(folder: Path, bases: Path, chance: random.Random) -> Case:
        (folder / "loop").symlink_to("loop")
        (folder / "broken").symlink_to("none/file")
        (folder / "file").write_text("x", encoding="utf-8")
        odd = ["loop", "broken", "file/below", ".", "..", "", "x" * 300, "none/file", "\x1b[2J\n", "-", "/dev/null"]
        name = chance.choice([*odd, odd_text(chance)])
        path = name if name.startswith(("/", "-")) or not name else f"{folder}/{name}"
        option = chance.choice(options)
        return [*audit(folder, documents=bases / "documents.jsonl", queries=bases / "queries.jsonl"), option, path]

    return prepare

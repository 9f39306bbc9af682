"""Read and write triplets.

JSON Lines, one object per line; ``target_queries``, ``id``, ``group`` and ``language`` are optional::

    {"query": "…", "passage": "…", "targets": {"zh": "…", "ar": "…"}, "target_queries": {"zh": "…"},
     "id": "t1", "group": "p1", "language": "en"}

or flat, as in TSV (with a header line) and Parquet, with one target language per row::

    query  passage  target  target_language  target_query  id  group  language

FlagEmbedding's JSON Lines (``{"query": "…", "pos": ["passage", "target passage", …], "neg": […]}``) need the languages
of the targets as an option; their negatives are ignored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from haystack_crossalign.data.formats.tables import parquet_records, tsv_records
from haystack_crossalign.data.triplets import Triplet, normalized
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.compressed import plain_name
from haystack_crossalign.files.reading import Source, TextFile, parse_json_object
from haystack_crossalign.files.records import Record
from haystack_crossalign.files.writing import write_atomically
from haystack_crossalign.languages import normalize_language

_COLUMNS = "query, passage, target, and target_language, target_query, id, group, language"
_FORMATS = (".jsonl", ".tsv", ".parquet")


def read_triplets(
    path: str | Path,
    *,
    language: str = "en",
    target_languages: Sequence[str] = (),
) -> tuple[tuple[Triplet, ...], Source]:
    """Read a file of triplets; the format follows from its extension: ``.jsonl`` (also FlagEmbedding's), ``.tsv`` or
    ``.parquet``.

    :param path: the file.
    :param language: language of queries and passages where the file does not say.
    :param target_languages: languages of the second and further positives of a FlagEmbedding file; the first is also
        that of flat rows without ``target_language``.
    :returns: the triplets in the order of the file, and its name and hash.
    :raises InputError: for the first field that is missing or wrong, and for duplicate ids.
    :raises ExternalError: for Parquet without the extra ``datasets``.
    """
    return _read_file(_Reader(Path(path), language, target_languages))


def read_pairs(path: str | Path, *, language: str = "en") -> tuple[tuple[Triplet, ...], Source]:
    """Read (query, passage) pairs to be translated: triplets whose targets may be missing.

    :param path: a file as for :func:`read_triplets`; FlagEmbedding's format is not supported.
    :param language: language of queries and passages where the file does not say.
    :raises InputError: as :func:`read_triplets`.
    """
    return _read_file(_Reader(Path(path), language, (), targets_needed=False))


def _read_file(reader: _Reader) -> tuple[tuple[Triplet, ...], Source]:
    triplets, source = _read_any(reader)
    if not triplets:
        raise InputError("no rows", source=reader.path, allowed="at least one")
    return triplets, source


def _read_any(reader: _Reader) -> tuple[tuple[Triplet, ...], Source]:
    path = reader.path
    suffix = plain_name(path).suffix
    if suffix == ".parquet":
        rows, source = parquet_records(path)
        return reader.read(rows), source
    if suffix not in _FORMATS:
        raise InputError("unknown file format", source=path, seen=suffix, allowed=", ".join(_FORMATS))
    file = TextFile(path)
    if suffix == ".tsv":
        return reader.read(tsv_records(file, reader.needed, _COLUMNS)), file.source
    triplets = reader.read(Record(parse_json_object(text, path, line), path, line) for line, text in file)
    return triplets, file.source


def read_dataset(
    rows: Iterable[Mapping[str, object]],
    *,
    name: str = "dataset",
    language: str = "en",
    target_languages: Sequence[str] = (),
) -> tuple[tuple[Triplet, ...], Source]:
    """Read triplets from rows in memory, for example a ``datasets.Dataset``, with the same fields as files.

    :param rows: the rows.
    :param name: their name in messages and provenance.
    :param language: language of queries and passages where the rows do not say.
    :param target_languages: see :func:`read_triplets`.
    :returns: the triplets, and the name with the hash of the rows as JSON Lines.
    :raises InputError: as :func:`read_triplets`; ``line`` is the number of the row.
    """
    kept = []
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise InputError("not a row of fields", source=name, line=number, seen=row, allowed="query, passage, …")
        kept.append(dict(row))
    records = (Record(row, name, number) for number, row in enumerate(kept, start=1))
    triplets = _Reader(Path(name), language, target_languages).read(records)
    digest = hashlib.sha256()
    for row in kept:
        digest.update(json.dumps(row, sort_keys=True, ensure_ascii=False, default=str).encode() + b"\n")
    return triplets, Source(name=name, sha256=digest.hexdigest())


class _Reader:
    """Converts records of any of the layouts to triplets."""

    def __init__(
        self, path: Path, language: str, target_languages: Sequence[str], *, targets_needed: bool = True
    ) -> None:
        self.path = path
        self.needed = ("query", "passage", "target") if targets_needed else ("query", "passage")
        self.language = normalize_language(language, field="language")
        self.targets = tuple(normalize_language(tag, field="target_languages") for tag in target_languages)

    def read(self, records: Iterable[Record]) -> tuple[Triplet, ...]:
        triplets: list[Triplet] = []
        seen: dict[str, int | None] = {}
        for number, record in enumerate(records, start=1):
            triplet = self._triplet(record, f"{plain_name(self.path).stem}:{number}")
            if triplet.id in seen:
                raise record.error(f"duplicate id (first on line {seen[triplet.id]})", "id", triplet.id, "unique ids")
            seen[triplet.id] = record.line
            triplets.append(triplet)
        return tuple(triplets)

    def _triplet(self, record: Record, default_id: str) -> Triplet:
        language = record.language("language", self.language)
        query = record.text("query")
        if record.get("pos") is not None and "target" not in self.needed and record.get("passage") is None:
            raise record.error("FlagEmbedding's positives cannot be translated", "pos", ..., "query and passage")
        if record.get("pos") is not None and "target" in self.needed:
            passage, targets, target_queries = self._flag(record)
        elif "target" not in self.needed and record.get("targets") is None and record.get("target") is None:
            passage, targets, target_queries = record.text("passage"), {}, {}
        else:
            passage = record.text("passage")
            nested = record.get("targets") is not None
            targets, target_queries = self._nested(record) if nested else self._flat(record)
        if language in targets:
            raise record.error("a target has the language of the passage", "targets", language)
        group = record.optional_identifier("group") or hashlib.sha256(normalized(passage).encode()).hexdigest()[:16]
        identifier = record.optional_identifier("id") or default_id
        return Triplet(identifier, group, language, query, passage, targets, target_queries)

    def _flag(self, record: Record) -> tuple[str, dict[str, str], dict[str, str]]:
        positives = record.get("pos")
        wanted = 1 + len(self.targets)
        languages = ", ".join(self.targets) or "none given"
        allowed = f"the passage and one target passage for each of the target languages ({languages})"
        if not self.targets or not isinstance(positives, list) or len(positives) != wanted:
            raise record.error("the positives do not fit the target languages", "pos", positives, allowed)
        texts = [Record({"pos": text}, record.path, record.line).text("pos") for text in positives]
        return texts[0], dict(zip(self.targets, texts[1:], strict=True)), {}

    def _nested(self, record: Record) -> tuple[dict[str, str], dict[str, str]]:
        targets = self._texts(record, "targets")
        queries = {} if record.get("target_queries") is None else self._texts(record, "target_queries")
        if not targets:
            raise record.error("no target passage", "targets", {}, "an object with one text per language")
        if queries.keys() - targets.keys():
            raise record.error(
                "target queries need targets of the same language",
                "target_queries",
                sorted(queries),
                "languages of the targets: " + ", ".join(sorted(targets)),
            )
        return targets, queries

    def _texts(self, record: Record, name: str) -> dict[str, str]:
        value = record.get(name)
        if not isinstance(value, Mapping):
            raise record.error("not an object", name, value, "an object with one text per language")
        inner = Record(value, record.path, record.line, prefix=f"{name}.")
        # Parquet gives every row all keys of the column, with null for missing ones.
        present = sorted(str(tag) for tag, text in value.items() if text is not None)
        texts: dict[str, str] = {}
        for spelled in present:
            tag = normalize_language(spelled, source=record.path, line=record.line, field=name)
            if tag in texts:
                raise record.error("duplicate language", name, present, "each language once")
            texts[tag] = inner.text(spelled)
        return texts

    def _flat(self, record: Record) -> tuple[dict[str, str], dict[str, str]]:
        tag = record.language("target_language", self.targets[0] if self.targets else None)
        query = record.optional_text("target_query")
        return {tag: record.text("target")}, {tag: query} if query else {}


def triplet_line(triplet: Triplet) -> str:
    """A triplet as a line of JSON, with languages in the order of their tags."""
    values: dict[str, object] = {
        "id": triplet.id,
        "group": triplet.group,
        "language": triplet.language,
        "query": triplet.query,
        "passage": triplet.passage,
        "targets": dict(sorted(triplet.targets.items())),
    }
    if triplet.target_queries:
        values["target_queries"] = dict(sorted(triplet.target_queries.items()))
    return json.dumps(values, ensure_ascii=False)


def write_triplets(path: str | Path, triplets: Iterable[Triplet]) -> None:
    """Write a file of triplets, completely or not at all.

    :param path: the file, ``.jsonl``.
    :param triplets: with unique ids.
    :raises InputError: if the folder is missing, or the path is not a regular file.
    :raises ExternalError: if the file cannot be written.
    """
    write_atomically(path, "".join(f"{triplet_line(triplet)}\n" for triplet in triplets))

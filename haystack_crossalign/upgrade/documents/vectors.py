"""New vectors for documents: the two ways to get them, and the JSON of a document with its vectors replaced."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.opensearch.index.fields import VectorField
from haystack_crossalign.repair.matrix_file import VectorMap

if TYPE_CHECKING:
    from haystack_crossalign.audit.run import Embedder

Source = dict[str, Any]

_BYTE = (-128, 127)
# Placeholder of a vector while the rest of its document is encoded; no document contains it by chance.
_MARK = f"crossalign {secrets.token_hex(16)} {{}}"


@dataclass(frozen=True)
class Moved:
    """Documents with new vectors.

    :param texts: JSON of each source, None for a document that cannot be given new vectors.
    :param counts: vectors moved and documents without one, by field.
    :param problems: why, for each document without a text, by its place.
    """

    texts: list[str | None]
    counts: Counter[str]
    problems: dict[int, str]


class Way(Protocol):
    """A way to new vectors."""

    def vectors(
        self, sources: Sequence[Source], field: VectorField, places: Sequence[Place]
    ) -> tuple[NDArray[np.float32], dict[int, str]]:
        """New vectors of the places: float32 [n, dim], and what is wrong, by number of the document."""


@dataclass(frozen=True)
class Place:
    """The position of a vector in a document.

    :param document: number of the document.
    :param holder: the object that holds it.
    :param key: its key there.
    """

    document: int
    holder: dict[str, Any] = field(repr=False)
    key: str = ""


@dataclass(frozen=True)
class MatrixWay:
    """Transforms the vectors of the index, without embedding texts."""

    map: VectorMap

    def vectors(
        self,
        sources: Sequence[Source],  # noqa: ARG002 - the other way needs them
        field: VectorField,
        places: Sequence[Place],
    ) -> tuple[NDArray[np.float32], dict[int, str]]:
        """Apply the map to each vector; a byte vector keeps its length, since it uses the range of bytes."""
        problems: dict[int, str] = {}
        old = np.zeros((len(places), field.dimension), dtype=np.float64)
        for row, place in enumerate(places):
            values = place.holder[place.key]
            if len(values) != field.dimension:
                problems[place.document] = f"the vector in '{field.name}' has {len(values)} numbers"
                continue
            old[row] = values
        finite = np.isfinite(old).all(axis=1)
        for row in np.flatnonzero(~finite).tolist():
            problems[places[row].document] = f"the vector in '{field.name}' is not finite"
            old[row] = 0.0
        moved = self.map.apply(old)
        if field.data_type == "byte":
            moved = to_bytes(moved * np.linalg.norm(old, axis=1, keepdims=True))
        return moved, problems


@dataclass(frozen=True)
class ModelWay:
    """Embeds all texts again.

    :param embedder: the embedder.
    :param content_field: field of the text. In the object that holds a nested vector, where its path says so.
    :param title_field: field whose value goes before the text, None for none.
    :param byte_length: length of byte vectors.
    """

    embedder: Embedder
    content_field: str
    title_field: str | None = None
    byte_length: float = 127.0

    def vectors(
        self, sources: Sequence[Source], field: VectorField, places: Sequence[Place]
    ) -> tuple[NDArray[np.float32], dict[int, str]]:
        """Vectors of the texts next to the positions, or of the whole document's text."""
        problems: dict[int, str] = {}
        texts = []
        for place in places:
            text = self.text(sources[place.document], place, field.name)
            if not text.strip():
                problems[place.document] = f"no text in '{self.content_field}' to embed"
            texts.append(text)
        made = self.embedder.encode_documents(texts)
        if field.data_type == "byte":
            lengths = np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-12)
            made = to_bytes(made / lengths * self.byte_length)
        return made, problems

    def text(self, source: Source, place: Place, vector: str) -> str:
        """The text that a vector stands for."""
        parts = [self._value(source, place, vector, name) for name in (self.title_field, self.content_field) if name]
        return "\n".join(part for part in parts if part)

    def _value(self, source: Source, place: Place, vector: str, name: str) -> str:
        around = vector.rpartition(".")[0]
        if around and name.startswith(f"{around}."):
            holder, key = place.holder, name[len(around) + 1 :]
        else:
            holder, key = source, name
        values = [one.holder[one.key] for one in _places(0, holder, key)]
        return "\n".join(str(value) for value in values if isinstance(value, str))


def to_bytes(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Integer vectors in the range of a byte."""
    whole: NDArray[np.float32] = np.clip(np.rint(vectors), *_BYTE).astype(np.float32)
    return whole


Select = Callable[[Sequence[Source], VectorField, Sequence[Place]], Sequence[Place]]


def move(
    sources: Sequence[Source],
    fields: Sequence[VectorField],
    way: Way,
    *,
    hidden: Sequence[str] = (),
    beside: str = "",
    select: Select = lambda _, __, places: places,
) -> Moved:
    """Make documents with new vectors, as JSON text; the sources are modified.

    :param sources: the sources of the documents.
    :param fields: fields that get new vectors.
    :param way: where these come from.
    :param hidden: those of the fields that sources do not hold: every document with a text gets a vector there.
    :param beside: what is put after a field's name for the field of the new vectors; nothing puts them into the field
        itself, in place of the old ones.
    :param select: given sources, field and places, which of the places get new vectors.
    """
    counts: Counter[str] = Counter()
    problems: dict[int, str] = {}
    written: list[dict[str, str]] = [{} for _ in sources]
    for vector_field in fields:
        places = [
            place
            for number, source in enumerate(sources)
            for place in (
                _new_places(number, source, vector_field, way)
                if vector_field.name in hidden
                else vector_places(number, source, vector_field.name)
            )
        ]
        having = {place.document for place in places}
        counts[f"without {vector_field.name}"] += len(sources) - len(having)
        counts[vector_field.name] += len(places)
        places = list(select(sources, vector_field, places))
        if not places:
            continue
        vectors, wrong = way.vectors(sources, vector_field, places)
        problems |= wrong
        for place, text in zip(places, vector_texts(vectors, whole=vector_field.data_type == "byte"), strict=True):
            marks = written[place.document]
            mark = _MARK.format(len(marks))
            marks[json.dumps(mark)] = text
            place.holder[place.key + beside] = mark
    texts = _texts(sources, written, problems)
    return Moved(texts, counts, problems)


def only_old(sources: Sequence[Source], fields: Sequence[VectorField], beside: str) -> Moved:
    """Documents with old and new vectors as an index had them that knows the old ones only; the sources are modified.

    :param sources: the sources of the documents.
    :param fields: fields that hold the old vectors.
    :param beside: what stands after their names for the new ones.
    """
    problems: dict[int, str] = {}
    for number, source in enumerate(sources):
        for vector_field in fields:
            if lacks_old(source, vector_field, beside):
                problems[number] = f"no vector of the old model in '{vector_field.name}'"
        without_vectors(source, [vector_field.name + beside for vector_field in fields])
    return Moved(_texts(sources, [{} for _ in sources], problems), Counter(), problems)


def lacks_old(source: Source, one: VectorField, beside: str) -> bool:
    """Whether a document has more new vectors than old ones in a field."""
    return len(vector_places(0, source, one.name + beside)) > len(vector_places(0, source, one.name))


def document_text(source: Source) -> str | None:
    """JSON text of a document as it is.

    :returns: None if it cannot be written as JSON.
    """
    return _texts([source], [{}], {})[0]


def _texts(
    sources: Sequence[Source], written: Sequence[Mapping[str, str]], problems: dict[int, str]
) -> list[str | None]:
    """JSON of each document, None for one with a problem.

    :param written: JSON of vectors by the mark that stands for them.
    :param problems: gets those of documents that are no JSON.
    """
    texts: list[str | None] = []
    for number, (source, marks) in enumerate(zip(sources, written, strict=True)):
        if number in problems:
            texts.append(None)
            continue
        try:
            text = json.dumps(source, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except ValueError:
            problems[number] = "holds a number outside of the range of a double"
            texts.append(None)
            continue
        for mark, vector in marks.items():
            text = text.replace(mark, vector, 1)
        texts.append(text)
    return texts


def vector_texts(vectors: NDArray[np.float32], *, whole: bool = False) -> Iterator[str]:
    """JSON of each row; nine digits give back the very float32.

    :param vectors: float32 [n, dim].
    :param whole: whether they are whole numbers.
    """
    form = "[" + ",".join(["%d" if whole else "%.9g"] * vectors.shape[1]) + "]"
    for row in vectors.tolist():
        yield form % tuple(row)


def vector_places(number: int, source: Source, path: str) -> list[Place]:
    """Where the vectors of a field stand in a document: lists that are not empty.

    :param number: of the document.
    :param source: what it holds.
    :param path: full path of the field; a key may hold several parts of it, joined by dots.
    """
    return [place for place in _places(number, source, path) if _is_vector(place.holder[place.key])]


def without_vectors(source: Source, paths: Sequence[str]) -> Source:
    """The source without the vectors of some fields; it is changed."""
    for path in paths:
        for place in _places(0, source, path):
            del place.holder[place.key]
    return source


def _is_vector(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], int | float)


def _new_places(number: int, source: Source, one: VectorField, way: Way) -> list[Place]:
    if not isinstance(way, ModelWay):
        return []
    around, _, key = one.name.rpartition(".")
    holders = [source] if not around else _objects(source, around)
    places = [Place(number, holder, key) for holder in holders]
    return [place for place in places if way.text(source, place, one.name).strip()]


def _objects(source: Source, path: str) -> list[dict[str, Any]]:
    objects: list[dict[str, Any]] = []
    for place in _places(0, source, path):
        value = place.holder[place.key]
        objects += [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]
    return objects


def _places(number: int, holder: Mapping[str, Any], path: str) -> list[Place]:
    places = []
    parts = path.split(".")
    for count in range(len(parts), 0, -1):
        key = ".".join(parts[:count])
        if key not in holder:
            continue
        rest = ".".join(parts[count:])
        if not rest:
            places.append(Place(number, holder if isinstance(holder, dict) else dict(holder), key))
            continue
        value = holder[key]
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Mapping):
                places += _places(number, one, rest)
    return places

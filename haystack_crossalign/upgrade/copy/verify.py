"""Verify that the new index equals the old one except for the vectors, by comparing every document."""

from __future__ import annotations

import copy as copies
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from haystack_crossalign.errors import ExternalError
from haystack_crossalign.upgrade.copy.copying import Copy
from haystack_crossalign.upgrade.documents.reading import Hit, Key, Unit, find_documents, key_of, read_unit
from haystack_crossalign.upgrade.documents.source import sequence_numbers
from haystack_crossalign.upgrade.documents.vectors import Source, vector_places, without_vectors

_UNIT_LENGTH = 1e-3
_SAMPLE = 8
_COSINE = 0.999
"""Least cosine of a vector and the same made again: bf16 and other batches move it by 1e-4."""


@dataclass
class Verified:
    """The result of comparing both indices.

    :param documents: number compared.
    :param vectors: number in the new index, in the fields with new vectors.
    :param changed: documents that were written or deleted since they were copied; the last pass brings them.
    :param sampled: number of documents whose vectors were recomputed.
    :param cosine: minimum cosine between recomputed and stored vectors.
    :param faults: faults by id and routing.
    """

    documents: int = 0
    vectors: int = 0
    changed: int = 0
    sampled: int = 0
    cosine: float = 1.0
    faults: dict[Key, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "faults": [[*key, why] for key, why in sorted(self.faults.items(), key=str)]}


def verify(
    copy: Copy,
    *,
    unit_length: bool,
    tell: Callable[[int, int], None] = lambda _, __: None,
    check: Callable[[], None] = lambda: None,
) -> Verified:
    """Compare every document of the new index with the old one.

    :param copy: from where to where it was copied.
    :param unit_length: whether the new vectors must have unit length.
    :param tell: called with documents compared and their number.
    :param check: called between pages; raises to stop.
    """
    result = Verified()
    total = copy.reader.count(copy.target)
    copy.client.refresh(copy.target)
    for shard, (_, upto) in sequence_numbers(copy.reader, copy.target).items():
        for hits in read_unit(copy.reader, copy.target, Unit(shard, -1, upto), page=copy.page):
            check()
            _compare(copy, hits, result, unit_length=unit_length)
            tell(result.documents, total)
    return result


def verify_again(copy: Copy, keys: Sequence[Key], *, unit_length: bool) -> dict[Key, str]:
    """Faults of some documents that remain after the new index has caught up.

    :param copy: from where to where.
    :param keys: ids and routings.
    :param unit_length: as for `verify`.
    """
    copy.client.refresh(copy.target)
    result = Verified()
    hits = list(find_documents(copy.reader, copy.target, keys, source=True).values())
    if hits:
        _compare(copy, hits, result, unit_length=unit_length)
    return result.faults


def require(result: Verified, copy: Copy) -> None:
    """Raise an error if there are faults.

    :raises ExternalError: naming the first document and the number of faults.
    """
    if result.faults:
        (identifier, _), why = next(iter(result.faults.items()))
        raise ExternalError(
            f"{copy.client.host}: {len(result.faults)} of {result.documents} documents of '{copy.target}' are not "
            f"those of '{copy.source}', first '{identifier}': {why}; nothing was switched"
        )


def _compare(copy: Copy, hits: Sequence[Hit], result: Verified, *, unit_length: bool) -> None:
    old = find_documents(copy.reader, copy.source, [key_of(hit) for hit in hits], source=True)
    # Kept old vectors are compared as a part of the source.
    fields = [vector_field.name + copy.beside for vector_field in copy.fields]
    sample: list[tuple[Source, Source]] = []
    for hit in hits:
        result.documents += 1
        key = key_of(hit)
        before = old.get(key)
        if before is None or before["_version"] != hit["_version"]:
            result.changed += 1
            continue
        source, target = before["_source"], hit["_source"]
        why = _vector_fault(copy, source, target, result, unit_length=unit_length)
        if len(sample) < _SAMPLE and why is None:
            sample.append((copies.deepcopy(source), copies.deepcopy(target)))
        if why is None and _digest(source, fields) != _digest(target, fields):
            why = "the source differs"
        if why is not None:
            result.faults[key] = why
    _make_again(copy, sample, result)


def _vector_fault(copy: Copy, source: Source, target: Source, result: Verified, *, unit_length: bool) -> str | None:
    for vector_field in copy.fields:
        name = vector_field.name + copy.beside
        new = [place.holder[place.key] for place in vector_places(0, target, name)]
        result.vectors += len(new)
        wanted = len(vector_places(0, source, vector_field.name))
        if vector_field.name not in copy.hidden and len(new) != wanted:
            return f"{wanted} vectors in '{vector_field.name}' of the old index, {len(new)} in '{name}' of the new one"
        dimension = copy.dimension or vector_field.dimension
        if any(len(vector) != dimension for vector in new):
            return f"a vector in '{name}' has not {dimension} numbers"
        if not new:
            continue
        lengths = np.linalg.norm(np.asarray(new, dtype=np.float64), axis=1)
        if not np.isfinite(lengths).all():
            return f"a vector in '{name}' is not finite"
        # A zero vector has no direction and stays zero.
        if unit_length and vector_field.data_type == "float" and (abs(lengths[lengths > 0] - 1) > _UNIT_LENGTH).any():
            return f"a vector in '{name}' has length {lengths[np.argmax(abs(lengths - 1))]:.4f} and not 1"
    return None


def _make_again(copy: Copy, sample: Sequence[tuple[Source, Source]], result: Verified) -> None:
    """Compare recomputed vectors of a sample with the stored ones."""
    if not sample:
        return
    made = copy.move([source for source, _ in sample])
    for text, (_, target) in zip(made.texts, sample, strict=True):
        again: Source = json.loads(text or "{}")
        for vector_field in copy.fields:
            name = vector_field.name + copy.beside
            stored = [place.holder[place.key] for place in vector_places(0, target, name)]
            anew = [place.holder[place.key] for place in vector_places(0, again, name)]
            for a, b in zip(stored, anew, strict=False):
                result.cosine = min(result.cosine, _cosine(a, b))
        result.sampled += 1


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return 1.0 if lengths == 0 else float(np.dot(a, b)) / lengths


def check_sample(result: Verified, copy: Copy) -> None:
    """Raise an error if recomputed vectors differ from the stored ones.

    :raises ExternalError: if they differ.
    """
    if result.sampled and result.cosine < _COSINE:
        raise ExternalError(
            f"{copy.client.host}: vectors made again differ from those in '{copy.target}' (cosine {result.cosine:.4f} "
            f"of {result.sampled} documents at worst); nothing was switched"
        )


def _digest(source: Mapping[str, Any], fields: Sequence[str]) -> bytes:
    """Hash of a source without some vectors, independent of the order of keys."""
    bare = without_vectors(dict(source), fields)
    text = json.dumps(bare, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).digest()

"""An affine map for each language, each vector is transformed by the map of its own language.

One map for all texts cannot correct what is specific to a language: the distance of its vectors from the common mean,
and the part of their spread that translations do not share. A linear rule detects the language of an embedding, so the
language of a text need not be known here either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.repair.affine import AffineMap, apply_in_blocks, unit
from haystack_crossalign.repair.language_means import language_means
from haystack_crossalign.repair.maps.detectors import BetweenOthersError, ShortQueries, fit_detectors
from haystack_crossalign.repair.maps.margins import describe_margins, margin_offsets

OwnShare = float | Mapping[str, float | None]
"""One further share for all languages except the pivot, or one for each; a language with None keeps the shared map."""

UNKNOWN = "und"
"""Tag of the shared map where the pivot has one of its own (BCP-47: undetermined)."""

_MARGIN = 0.1  # of a detector, which is 1 at the mean of its language and -1 at the nearest other mean


@dataclass(frozen=True)
class LanguageMaps:
    """``x -> unit(A_l unit(x) + b_l)``, l the language of x.

    With ``s_l(x) = detector_l · unit(x) - offset_l`` the map of language l applies if ``s_l`` is above 0.1, that of the
    first language if all are below -0.1, and in between the map is continuous: with ``y = (A_l - A_0) x + b_l - b_0``
    and ``g = k relu(0.1 - s_l)`` it adds ``relu(y - g) - relu(-y - g)``. So it consists of three linear layers with
    ReLU between them, which a stock sentence-transformers folder can hold.

    :param languages: tags; the first one's map applies if no detector fires.
    :param matrices: float32 ``[L, dim, dim]``.
    :param biases: float32 ``[L, dim]``.
    :param detectors: float32 ``[L - 1, dim]``, of all languages except the first.
    :param offsets: float32 ``[L - 1]``.
    :param metadata: where the maps come from, in words.
    """

    languages: tuple[str, ...]
    matrices: NDArray[np.float32]
    biases: NDArray[np.float32]
    detectors: NDArray[np.float32]
    offsets: NDArray[np.float32]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count, dim = len(self.languages), self.matrices.shape[-1]
        shapes = {
            "matrices": (self.matrices, (count, dim, dim)),
            "biases": (self.biases, (count, dim)),
            "detectors": (self.detectors, (count - 1, dim)),
            "offsets": (self.offsets, (count - 1,)),
        }
        for name, (array, shape) in shapes.items():
            if array.shape != shape or count < 2:
                raise InputError("wrong shape", field=name, seen=array.shape, allowed=str(shape))
            if not np.isfinite(array).all():
                raise InputError("must be finite", field=name)
        for language, matrix in zip(self.languages, self.matrices, strict=True):
            if not matrix.any():
                problem = "the matrix is zero: all vectors of the language would be the same"
                raise InputError(problem, field="matrices", seen=language)

    @property
    def dimension(self) -> int:
        """Dimension of the embeddings."""
        return int(self.matrices.shape[-1])

    def apply(
        self, vectors: ArrayLike, *, out: NDArray[np.float32] | None = None, block: int = 16384
    ) -> NDArray[np.float32]:
        """Transform embeddings, each separately; see :meth:`~haystack_crossalign.repair.affine.AffineMap.apply`.

        :param vectors: ``[n, dim]``; of any length, also memory-mapped.
        :param out: float32 ``[n, dim]`` to write to, which may be ``vectors`` itself; None makes a new array.
        :param block: rows at a time.
        :returns: float32 ``[n, dim]`` of unit length (``out`` where it was given).
        :raises InputError: for a wrong shape, and for vectors that are not finite.
        """
        layers = [(weight.T.astype(np.float64), bias.astype(np.float64)) for weight, bias in self.layers()]

        def move(part: NDArray[np.float64]) -> NDArray[np.float64]:
            for number, (weight, bias) in enumerate(layers):
                part = (np.maximum(part, 0) if number else part) @ weight + bias
            return part

        return apply_in_blocks(move, vectors, self.dimension, out=out, block=block)

    def recognized(self, vectors: ArrayLike, languages: Sequence[str]) -> dict[str, float]:
        """Share of the vectors of each language that the map of their language applies to, by tag.

        :param vectors: ``[n, dim]``, before the map.
        :param languages: tag of each; those that have no map are left out.
        """
        values = unit(np.asarray(vectors, dtype=np.float64)) @ self.detectors.T.astype(np.float64) - self.offsets
        taken = np.where((values > 0).any(axis=1), values.argmax(axis=1) + 1, 0)
        tags = np.asarray(languages)
        return {
            tag: float((taken[tags == tag] == place).mean())
            for place, tag in enumerate(self.languages)
            if (tags == tag).any()
        }

    def layers(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Weight ``[out, in]`` and bias of three linear layers, ReLU after the first and the second.

        No large number is added to a small one and subtracted again, so half precision is as accurate as with one
        linear layer.
        """
        dim, others = self.dimension, len(self.languages) - 1
        eye, nothing = np.eye(dim, dtype=np.float32), np.zeros((dim, others), dtype=np.float32)
        first = np.concatenate([eye, -eye, -self.detectors])
        first_bias = np.concatenate([np.zeros(2 * dim, dtype=np.float32), _MARGIN + self.offsets])
        weights, biases = [np.concatenate([self.matrices[0], -self.matrices[0], nothing], axis=1)], [self.biases[0]]
        for place in range(others):
            matrix = self.matrices[place + 1] - self.matrices[0]
            bias = self.biases[place + 1] - self.biases[0]
            # No component of the correction is larger; at -0.1 the gate subtracts this much.
            bound = float((np.linalg.norm(matrix, axis=1) + np.abs(bias)).max())
            gate = nothing.copy()
            gate[:, place] = bound / (2 * _MARGIN)
            weights.append(np.concatenate([matrix, -matrix, -gate], axis=1))
            biases.append(bias)
        second = np.concatenate([part for weight in weights for part in (weight, _negated(weight, 2 * dim))])
        second_bias = np.concatenate([part for bias in biases for part in (bias, -bias)])
        third = np.concatenate([eye, -eye] * (others + 1), axis=1)
        return [(first, first_bias), (second, second_bias), (third, np.zeros(dim, dtype=np.float32))]


def _negated(weight: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """The same with the signs of its first columns flipped, but not those of the gates."""
    return np.concatenate([-weight[:, :width], weight[:, width:]], axis=1)


def fit_language_maps(
    shared: AffineMap,
    embeddings: ArrayLike,
    languages: Sequence[str],
    groups: Sequence[str],
    *,
    pivot: str,
    own_share: OwnShare = 0.0,
    ridge: float = 3.0,
    others: NDArray[np.float64] | None = None,
    own_margins: Mapping[str, float] | None = None,
    queries: ShortQueries | None = None,
) -> LanguageMaps:
    """Fit a map for each language, based on one for all.

    The map of the pivot is the shared one. That of another language subtracts more of the common mean, ``b_l = b -
    own_share_l * A c``, and then maps to the versions in the pivot, as far as these can be predicted: ``I + D`` with
    ``D = argmin sum |h_pivot - (I + D) h_l|^2 + ridge * t |D|^2`` over the parallel documents, h the unit-length
    vectors so far and t the mean eigenvalue of ``H_l' H_l``. What cannot be predicted from the other language shrinks,
    and with it the advantage of a document that is in the query's language.

    :param shared: the map for all.
    :param embeddings: ``[n, dim]``, of any length.
    :param languages: tag of each.
    :param groups: parallel group of each.
    :param pivot: the language to which the others are mapped.
    :param own_share: further share of the common mean to subtract from the other languages, 0 to 1; or one for each of
        them by tag, None for a language that keeps the shared map.
    :param ridge: above 0: the larger, the less a language is changed.
    :param others: float64 ``[M, dim]``, means of languages that are not fitted: their texts get the shared map, and the
        common mean is that of all.
    :param own_margins: by how much documents in the language of a query score above equally similar ones in the other
        fitted languages, as a cosine, 0 or more, for each language by tag; see :func:`margin_vectors`. None for none.
        With them the pivot has a map of its own too, and texts in no recognized language get the shared one (`und`).
    :param queries: short queries in these languages, so that the language of a query is recognized too; None if there
        are none.
    :raises InputError: for a value out of range, wrong shapes, a language without a document that is parallel to one in
        the pivot, and a language whose mean cannot be separated from another's.
    """
    if not 0 < ridge < float("inf"):
        raise InputError("out of range", field="ridge", seen=ridge, allowed="a finite number above 0")
    vectors = unit(np.asarray(embeddings, dtype=np.float64))
    if vectors.shape != (len(languages), shared.dimension) or len(groups) != len(languages):
        raise InputError(
            "one language and one group are needed for each embedding of the map's dimension",
            field="languages",
            seen=(vectors.shape, len(languages), len(groups)),
        )
    tags = (pivot, *sorted(set(languages) - {pivot}))
    members = {tag: np.flatnonzero([language == tag for language in languages]) for tag in tags}
    if len(tags) < 2 or not len(members[pivot]):
        raise InputError(
            "two languages are needed, the pivot one of them", field="pivot", seen=pivot, allowed=", ".join(tags)
        )
    codes = np.asarray([tags.index(tag) for tag in languages])
    means = language_means(vectors, codes, groups)
    shares = _shares(own_share, tags[1:])
    everything = means if others is None else np.concatenate([means, others])
    weight, bias = shared.matrix.astype(np.float64), shared.bias.astype(np.float64)
    common = weight @ everything.mean(axis=0)
    languages, matrices, biases = tags, [weight], [bias]
    where = {groups[row]: row for row in members[pivot].tolist()}
    for tag in tags[1:]:
        share = shares[tag]
        if share is None:
            matrices.append(weight)
            biases.append(bias)
            continue
        pairs = [(where[groups[row]], row) for row in members[tag].tolist() if groups[row] in where]
        if not pairs:
            raise InputError("no document is parallel to one of the pivot", field="groups", seen=tag, allowed=pivot)
        theirs, own = (vectors[list(rows)] @ weight.T for rows in zip(*pairs, strict=True))
        taken = bias - share * common
        wanted, mapped = unit(theirs + bias), unit(own + taken)
        square = mapped.T @ mapped
        penalty = ridge * np.trace(square) / len(square) * np.eye(len(square))
        change = np.eye(len(square)) + np.linalg.solve(square + penalty, mapped.T @ (wanted - mapped)).T
        matrices.append(change @ weight)
        biases.append(change @ taken)
    metadata = dict(shared.metadata) | {"pivot": pivot, "own_share": describe_share(own_share), "ridge": f"{ridge:g}"}
    if own_margins and any(own_margins.values()):
        added = margin_offsets(own_margins, tags, means)
        for place, tag in enumerate(tags):
            moved = vectors[members[tag]] @ matrices[place].T + biases[place]
            # By the length that its vectors have here, so that the margin is a cosine.
            biases[place] = biases[place] + np.sqrt((moved**2).sum(axis=1).mean()) * added[place]
        metadata["own_margins"] = describe_margins(own_margins)
        # A text that no detector recognizes gets no margin, also not that of the pivot.
        languages, matrices, biases = (UNKNOWN, *tags), [weight, *matrices], [bias, *biases]
    try:
        detectors, offsets = fit_detectors(vectors, members, everything, tags, languages[1:], queries)
    except BetweenOthersError:
        # Documents alone are easier to tell apart.
        detectors, offsets = fit_detectors(vectors, members, everything, tags, languages[1:], None)
    return LanguageMaps(
        languages,
        np.stack(matrices).astype(np.float32),
        np.stack(biases).astype(np.float32),
        detectors.astype(np.float32),
        offsets.astype(np.float32),
        metadata,
    )


def describe_share(own_share: OwnShare) -> str:
    """An own share in words: ``0.1``, or ``es none, zh 0.2``."""
    if isinstance(own_share, Mapping):
        return ", ".join(
            f"{tag} {'none' if share is None else f'{share:g}'}" for tag, share in sorted(own_share.items())
        )
    return f"{own_share:g}"


def describe_maps(own_share: OwnShare | None, ridge: float | None, own_margins: Mapping[str, float] | None) -> str:
    """What maps there are, in words, such as ``a map for each language (further share 0.1, ridge 3)``.

    :param own_share: see :func:`fit_language_maps`; None for one map for all.
    :param ridge: likewise.
    :param own_margins: likewise.
    """
    margins = "" if not own_margins else f"a margin for the query's own language ({describe_margins(own_margins)})"
    if own_share is None or ridge is None:
        return "one map for all languages" + (margins and f", with {margins}")
    share = f"a map for each language (further share {describe_share(own_share)}, ridge {ridge:g})"
    return share + (margins and f", with {margins}")


def describe_map(setting: Mapping[str, Any]) -> str:
    """What a repair does to vectors, in words, such as ``strength 1, share of the common mean 0.5, no whitening, one
    map for all languages``.

    :param setting: ``chosen`` of ``repair.json``.
    """
    whitening = setting["whitening"]
    parts = (
        f"strength {setting['strength']:g}",
        f"share of the common mean {setting['common_share']:g}",
        "no whitening" if whitening is None else f"whitening with shrinkage {whitening:g}",
        describe_maps(setting["own_share"], setting["ridge"], setting["own_margins"]),
    )
    return ", ".join(parts)


def _shares(own_share: OwnShare, languages: Sequence[str]) -> Mapping[str, float | None]:
    """The own share of each language."""
    if not isinstance(own_share, Mapping):
        own_share = dict.fromkeys(languages, own_share)
    if set(own_share) != set(languages):
        raise InputError(
            "a share is needed for each language but the pivot",
            field="own_share",
            seen=", ".join(sorted(own_share)),
            allowed=", ".join(languages),
        )
    for tag, share in own_share.items():
        if share is not None and not 0 <= share <= 1:
            raise InputError("out of range", field="own_share", seen=f"{share} of {tag}", allowed="0 to 1")
    return own_share

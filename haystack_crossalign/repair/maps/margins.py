"""Margins: a constant in favor of documents in the query's own language, as vectors that are added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.repair.maps.detectors import BetweenOthersError
from haystack_crossalign.repair.other_languages import language_basis


def describe_margins(margins: Mapping[str, float] | None) -> str:
    """Margins in words: ``en 0.01, zh 0.03``; ``none`` where no language has one."""
    return ", ".join(f"{tag} {margin:g}" for tag, margin in sorted((margins or {}).items()) if margin) or "none"


def margin_vectors(margins: ArrayLike) -> NDArray[np.float64]:
    """The shortest vectors ``v_l`` with ``v_l . v_l - v_l . v_k = margins_l`` for every other language k.

    With ``v_l`` added to the unit-length vectors of language l, in directions where these have nothing, a document in
    the query's language gains ``margins_l`` over those in the others. Their inner products must be ``c`` across
    languages and ``margins_l + c`` within; the least c that vectors exist for is ``-1 / sum(1 / margins)``, 0 if a
    margin is 0.

    :param margins: ``[L]``, 0 or more, L at least 2.
    :returns: float64 ``[L, L - 1]``, up to a rotation.
    :raises InputError: for fewer than two, negative ones, and numbers that are not finite.
    """
    wanted = np.asarray(margins, dtype=np.float64)
    if wanted.ndim != 1 or len(wanted) < 2 or not np.isfinite(wanted).all() or (wanted < 0).any():
        raise InputError("out of range", field="own_margins", seen=margins, allowed="0 or more for each language")
    products = np.diag(wanted) - (1 / (1 / wanted).sum() if (wanted > 0).all() else 0.0)
    values, axes = np.linalg.eigh(products)
    # The smallest value is 0 by the choice of c, or by a margin of 0.
    return np.asarray(axes[:, 1:] * np.sqrt(np.maximum(values[1:], 0)))


def margin_offsets(
    margins: Mapping[str, float], tags: Sequence[str], means: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What is added to unit-length vectors of each language: float64 ``[L, dim]``.

    It lies in the directions in which the languages' means differ, which a repair empties, and is turned so that each
    language is moved toward its own mean: what a weaker repair leaves there adds to the margin.
    """
    if set(margins) - set(tags):
        raise InputError(
            "a margin of a language that is not fitted", field="own_margins", seen=", ".join(sorted(margins)),
            allowed=", ".join(tags),
        )  # fmt: skip
    own = means[: len(tags)]
    basis = language_basis(own, own[:0])[1]
    if len(basis) < len(tags) - 1:
        raise BetweenOthersError("the means span too few directions", field="languages", seen=", ".join(tags))
    vectors = margin_vectors([margins.get(tag, 0.0) for tag in tags])
    left, _, right = np.linalg.svd(vectors.T @ ((own - own.mean(axis=0)) @ basis.T))  # orthogonal Procrustes problem
    return np.asarray(vectors @ left @ right @ basis)

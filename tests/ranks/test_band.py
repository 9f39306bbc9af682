"""Versions near to a target are left open, all others counted: against the definition, for every fast product."""

from __future__ import annotations

import numpy as np
import pytest

from haystack_crossalign.ranks.blocks import Band
from haystack_crossalign.ranks.exact import PoolArrays, Product, count_against
from haystack_crossalign.ranks.int8 import kernels

LANGUAGES = ("ar", "en", "zh")
COUNTED = (0, 2)
PRECISIONS = ["fp32", "bf16", *(["int8"] if kernels() else [])]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("per_length", [0.0, 0.01])
def test_open_pairs_and_counts_are_those_of_the_definition(precision: str, chunked: bool, per_length: float) -> None:
    rng = np.random.default_rng(3)
    documents = rng.normal(size=(700, 16)).astype(np.float32) * rng.uniform(0.5, 2, (700, 1)).astype(np.float32)
    documents[500:600] = documents[:100]
    queries = rng.normal(size=(30, 16)).astype(np.float32)
    versions = np.sort(rng.integers(0, 250, 700)) if chunked else np.arange(700)
    versions = np.unique(versions, return_inverse=True)[1]
    codes = rng.integers(0, 3, versions.max() + 1)
    languages = codes[versions]
    wanted = np.array([rng.choice(np.flatnonzero(np.isin(codes, COUNTED)), 4, replace=False) for _ in queries])
    wanted[::5, 3] = -1

    scores = (queries.astype(np.float64) @ documents.astype(np.float64).T).astype(np.float32)
    best = np.full((len(queries), versions.max() + 1), -np.inf, dtype=np.float32)
    np.maximum.at(best.T, versions, scores.T)
    targets = np.where(wanted >= 0, np.take_along_axis(best, np.maximum(wanted, 0), axis=1), np.inf)
    lengths = np.linalg.norm(documents.astype(np.float64), axis=1)
    base = rng.uniform(0.0, 0.05, (4, len(queries)))
    band = Band(base, np.full(len(queries), per_length), lengths, COUNTED)
    arrays = PoolArrays(
        documents, languages, LANGUAGES, rng.permutation(700), versions.astype(np.int32) if chunked else None
    )
    product = Product.chosen(precision, queries, documents, 4)
    greater = count_against(queries, wanted, arrays, 3, "dot", product, 2, band).greater

    expected, counts = [], np.zeros_like(greater)
    for query in range(len(queries)):
        for r in range(4):
            difference = scores[query].astype(np.float64) - targets[query, r]
            slack = base[r, query] + per_length * lengths
            above = {version for version in versions[difference > slack] if codes[version] in COUNTED}
            for version in above:
                counts[codes[version], r, query] += 1
            near = [d for d in np.flatnonzero(np.abs(difference) <= slack) if codes[versions[d]] in COUNTED]
            expected += [[query, r, d] for d in near if versions[d] not in above]
    np.testing.assert_array_equal(greater, counts)
    assert band.open.tolist() == expected
    # The relevant documents themselves, and more.
    assert len(expected) > (wanted >= 0).sum()

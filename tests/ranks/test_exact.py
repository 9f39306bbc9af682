from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from requirements import require

from haystack_crossalign.errors import InputError
from haystack_crossalign.ranks import ABSENT, SIMILARITIES, exact_ranks
from haystack_crossalign.ranks import blocks as blocks_module
from haystack_crossalign.ranks import counting as counting_module
from haystack_crossalign.ranks import distances as distances_module

PRECISIONS = ("int8", "bf16", "fp32")


@pytest.fixture(autouse=True)
def _native_where_asked_for(request):
    if getattr(request.node, "callspec", None) and request.node.callspec.params.get("precision") == "int8":
        require("native")


def _arguments(queries, documents, relevant, **changes):
    count = len(documents)
    arguments = {
        "queries": np.asarray(queries, dtype=np.float32),
        "documents": np.asarray(documents, dtype=np.float32),
        "document_languages": np.arange(count) % 2,
        "languages": ("en", "zh"),
        "query_languages": np.zeros(len(queries), dtype=np.int32),
        "relevant": np.asarray(relevant, dtype=np.int32),
        "tie_order": np.arange(count),
        "versions": None,
        "similarity": "dot",
    }
    return arguments | changes


@pytest.mark.parametrize("precision", PRECISIONS)
def test_ranks_of_a_case_by_hand(precision):
    # Scores against (1, 0): 4, 3, 3, 2, 1; ids put document 2 before document 1; languages en zh en zh en.
    documents = [[4, 1], [3, 0], [3, 5], [2, 2], [1, 0]]
    table = exact_ranks(
        **_arguments([[1, 0]], documents, [[1, 2, 4, -1]], tie_order=np.array([0, 3, 1, 2, 4])),
        precision=precision,
        top_language=True,
    )
    assert table.ranks.tolist() == [[3, 2, 5, ABSENT]]
    assert table.optimistic.tolist() == [[2, 2, 5, ABSENT]]
    assert table.pessimistic.tolist() == [[3, 3, 5, ABSENT]]
    assert table.above.tolist() == [[[2, 0], [1, 0], [2, 2], [0, 0]]]
    assert table.relevant_languages.tolist() == [[1, 0, 0, -1]]
    assert table.top_language.tolist() == [0]
    assert table.pool_size == 5
    assert table.pool_languages == (0, 1)
    assert table.depth is None
    assert table.ranks.dtype == table.above.dtype == np.int32


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_version_ranks_at_its_best_chunk_and_counts_once(precision):
    # Version 0 (en) scores 5 (its other chunk 1), version 1 (zh) 4 twice, version 2 (en) 3: by hand.
    documents = [[1, 0], [5, 0], [4, 0], [4, 1], [3, 9]]
    table = exact_ranks(
        **_arguments(
            [[1, 0]],
            documents,
            [[0, 1, 2]],
            versions=np.array([0, 0, 1, 1, 2]),
            document_languages=np.array([0, 0, 1, 1, 0]),
        ),
        precision=precision,
    )
    assert table.ranks.tolist() == [[1, 2, 3]]
    assert table.pessimistic.tolist() == [[1, 2, 3]]
    assert table.above.tolist() == [[[0, 0], [1, 0], [1, 1]]]
    assert table.pool_size == 3


def test_a_row_without_relevant_versions_is_absent_and_an_empty_language_counts_nothing():
    table = exact_ranks(
        **_arguments([[1, 0], [0, 1]], [[1, 0], [0, 1]], [[-1], [0]], languages=("en", "zh", "ar")), top_language=True
    )
    assert table.ranks.tolist() == [[ABSENT], [2]]
    assert table.above.tolist() == [[[0, 0, 0]], [[0, 1, 0]]]
    assert table.top_language.tolist() == [0, 1]
    assert table.relevant.tolist() == [0, 1]


@st.composite
def _pools(draw):
    """Small pools of few different integer vectors: many exact ties, duplicates, chunks and padding."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    count, queries, dim = draw(st.integers(1, 60)), draw(st.integers(1, 6)), draw(st.integers(1, 9))
    languages = draw(st.integers(1, 4))
    width = draw(st.integers(1, 4))
    spread = draw(st.sampled_from([1, 2, 1000]))

    def vectors(rows):
        values = rng.integers(-spread, spread + 1, (rows, dim)).astype(np.float32)
        values[~values.any(axis=1), 0] = 1
        return values

    if draw(st.booleans()):
        versions = rng.integers(0, max(1, count // 2), count)
        _, versions = np.unique(versions, return_inverse=True)
        by_version = rng.integers(0, languages, count)
        document_languages = by_version[versions]
    else:
        versions, document_languages = None, rng.integers(0, languages, count)
    total = count if versions is None else int(versions.max()) + 1
    relevant = np.full((queries, width), -1)
    for row in relevant:
        chosen = rng.permutation(total)[: rng.integers(0, width + 1)]
        row[: len(chosen)] = chosen
    return _arguments(
        vectors(queries),
        vectors(count),
        relevant,
        document_languages=document_languages,
        languages=tuple("abcd"[:languages]),
        tie_order=rng.permutation(count),
        versions=versions,
        similarity=draw(st.sampled_from(SIMILARITIES)),
    )


@settings(deadline=None, max_examples=150)
@pytest.mark.parametrize("precision", PRECISIONS)
@given(pool=_pools())
def test_equal_to_the_slow_definition_with_ties_chunks_languages_and_padding(
    pool, precision, slow_ranks, assert_same_ranks
):
    assert_same_ranks(exact_ranks(**pool, precision=precision, top_language=True), slow_ranks(**pool))


def _unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _hard_pool(kind, rng):
    """Real-valued pools where rounding matters most. -> queries, documents"""
    dim = 48
    queries, documents = rng.standard_normal((5, dim)), rng.standard_normal((400, dim))
    mean = rng.standard_normal(dim)
    mean /= np.linalg.norm(mean)
    if kind == "isotropic":
        return _unit(queries), _unit(documents)
    if kind == "clustered":  # cosines of about 0.9, as e5 has
        return _unit(mean * 3 + queries / dim**0.5), _unit(mean * 3 + documents / dim**0.5)
    if kind == "nearly parallel":
        return _unit(mean + 1e-5 * queries), _unit(mean + 1e-5 * documents)
    if kind == "huge":
        return (1e9 * queries).astype(np.float32), (1e10 * documents).astype(np.float32)
    if kind == "tiny":
        return (1e-9 * queries).astype(np.float32), (1e-10 * documents).astype(np.float32)
    if kind == "lengths of every size":
        return queries.astype(np.float32), (documents * 10.0 ** rng.uniform(-8, 8, (400, 1))).astype(np.float32)
    if kind == "two opposite clusters":
        return _unit(queries), _unit(documents * 0.01 + np.where(np.arange(400) % 2, 1, -1)[:, None] * mean)
    if kind == "duplicates":
        return _unit(queries), _unit(documents[rng.integers(0, 20, 400)])
    if kind == "all documents equal":
        return _unit(queries), np.repeat(_unit(documents[:1]), 400, axis=0)
    if kind == "rounding errors that add up":  # half of the documents round up in every component, half down
        signs = np.where(rng.random((200, dim)) < 0.5, -1, 1)
        signs = np.concatenate([signs, -signs])  # so that the mean is zero and moves nothing
        share = 2.0**-8 * np.where(np.arange(400) % 4 < 2, 0.99, 1.01)[:, None]
        return np.where(rng.random((5, dim)) < 0.5, -1, 1).astype(np.float32), (signs * (1 + share)).astype(np.float32)
    # Neighbours: copies of one vector with single components moved by one unit in the last place.
    near = np.repeat(_unit(mean[None]), 400, axis=0)
    for row in range(1, 400):
        at = rng.integers(0, dim)
        near[row, at] = np.nextafter(near[row, at], np.float32(rng.choice([-2, 2])))
    return _unit(queries), near


KINDS = (
    "isotropic",
    "clustered",
    "nearly parallel",
    "huge",
    "tiny",
    "lengths of every size",
    "two opposite clusters",
    "duplicates",
    "all documents equal",
    "rounding errors that add up",
    "one unit in the last place",
)


@pytest.mark.parametrize(
    ("similarity", "precision"),
    [("dot", "int8"), ("dot", "bf16"), ("dot", "fp32"), ("cosine", "int8"), ("cosine", "bf16"), ("euclidean", "fp32")],
)
@pytest.mark.parametrize("kind", KINDS)
def test_exact_where_rounding_matters_most(kind, similarity, precision, slow_ranks, assert_same_ranks):
    rng = np.random.default_rng(KINDS.index(kind))
    queries, documents = _hard_pool(kind, rng)
    relevant = np.stack([rng.permutation(200)[:3] for _ in queries])
    for versions in (None, np.arange(len(documents)) // 4 * 2 + np.arange(len(documents)) % 2):
        pool = _arguments(
            queries,
            documents,
            relevant,
            tie_order=rng.permutation(400),
            versions=versions,
            similarity=similarity,
        )
        assert_same_ranks(exact_ranks(**pool, precision=precision, top_language=True), slow_ranks(**pool))


def _bytes(table):
    arrays = (table.ranks, table.optimistic, table.pessimistic, table.above, table.top_language)
    return [array.tobytes() for array in arrays]


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.usefixtures("two_threads")
def test_bytes_do_not_depend_on_blocks_threads_or_precision(chunked, similarity, monkeypatch):
    rng = np.random.default_rng(7)
    queries, documents = _unit(rng.standard_normal((150, 24)) + 1), _unit(rng.standard_normal((3000, 24)) + 1)
    documents[1500:1600] = documents[:100]
    versions = rng.permutation(np.arange(3000) % 700) if chunked else None
    languages = versions % 3 if chunked else np.arange(3000) % 3
    pool = _arguments(
        queries,
        documents,
        rng.integers(0, 700, (150, 2)),
        versions=versions,
        document_languages=languages,
        languages=("en", "zh", "ar"),
        tie_order=rng.permutation(3000),
    )
    pool["similarity"] = similarity
    expected = _bytes(exact_ranks(**pool, precision="fp32", top_language=True))
    for rows, tile, group, threads, few, pending, precision in (
        (2048, 510, 8192, 1, 0.01, 1 << 16, "bf16"),
        (64, 64, 64, 2, -1.0, 0, "fp32"),  # every tile counted by columns, close pairs compared block by block
        (100, 33, 70, 2, 1.0, 50, "bf16"),  # every tile counted from a list of cells
        (64, 64, 64, 2, -1.0, 0, "bf16"),
        (999, 510, 128, 1, 1.0, 50, "fp32"),
    ):
        monkeypatch.setattr(blocks_module.cut_pool, "__defaults__", (rows,))
        monkeypatch.setattr(counting_module, "_TILE_ROWS", tile)
        monkeypatch.setattr(counting_module, "_TILE_BYTES", tile * 128)
        monkeypatch.setattr(counting_module, "_FEW", few)
        monkeypatch.setattr(counting_module, "PENDING", pending)
        monkeypatch.setattr(sys.modules[exact_ranks.__module__], "_GROUP", group)
        monkeypatch.setattr(distances_module, "_QUERIES", group)
        monkeypatch.setattr(distances_module, "_ROWS", rows)
        torch.set_num_threads(threads)
        assert _bytes(exact_ranks(**pool, precision=precision, top_language=True)) == expected
        assert torch.get_num_threads() == threads


def test_inputs_are_not_changed_and_may_be_read_only():
    rng = np.random.default_rng(5)
    pool = _arguments(rng.standard_normal((4, 8)), rng.standard_normal((30, 8)), rng.integers(0, 30, (4, 2)))
    for name in ("queries", "documents", "relevant", "tie_order"):
        pool[name].flags.writeable = False
    copies = {name: pool[name].copy() for name in ("queries", "documents")}
    for similarity in SIMILARITIES:
        exact_ranks(**pool | {"similarity": similarity}, precision="bf16")
    for name, copy in copies.items():
        np.testing.assert_array_equal(pool[name], copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queries": np.array([[1, np.nan]])}, r"vector 0 of queries holds a value that is not a number; seen: nan"),
        ({"documents": np.array([[1, 0], [np.inf, 1]])}, r"vector 1 of documents holds .* not a number; seen: inf"),
        ({"documents": np.array([[1, 0], [0, 0]])}, r"vector 1 of documents is zero"),
        ({"queries": np.array([[0, 0]])}, r"vector 0 of queries is zero"),
        ({"documents": np.array([[1, 0], [1e30, 0]])}, r"vector 1 of documents is too long or too short"),
        ({"queries": np.array([[1, 0, 0]])}, r"different dimension; seen: \(3, 2\)"),
        ({"queries": np.empty((1, 0))}, r"the vectors of queries must be a table"),
        ({"queries": np.array([1, 0])}, r"the vectors of queries must be a table"),
        (
            {"relevant": np.array([[1, 1]])},
            r"a relevant version of query 0 is named twice, and would count twice; seen: 1",
        ),
        ({"relevant": np.array([[2]])}, r"a relevant version of query 0 is not among the documents; seen: 2"),
        ({"relevant": np.array([[-2]])}, r"is not among the documents; seen: -2"),
        ({"relevant": np.array([[0.5]])}, r"'relevant' must be a table of integers"),
        ({"relevant": np.array([[0], [1]])}, r"'relevant' must be a table of integers with one row for each query"),
        ({"document_languages": np.array([0, 2])}, r"unknown language code in row 1; seen: 2; allowed: 0 to 1"),
        ({"query_languages": np.array([-1])}, r"field 'query_languages': unknown language code in row 0"),
        ({"tie_order": np.array([0])}, r"'tie_order' must be integers"),
        ({"versions": np.array([0, 0])}, r"a version holds documents of two languages; seen: 0"),
        ({"versions": np.array([0, -1])}, r"a version is negative"),
        ({"versions": np.array([0, 2]), "relevant": np.array([[1]])}, r"is not among the documents; seen: 1"),
    ],
)
def test_bad_input_is_named(changes, message):
    pool = _arguments([[1, 0]], [[1, 0], [0, 1]], [[0]]) | changes
    with pytest.raises(InputError, match=message):
        exact_ranks(**pool)


def test_an_unknown_precision_is_named():
    with pytest.raises(InputError, match="unknown precision; seen: 'fp16'; allowed: auto, bf16, fp32"):
        exact_ranks(**_arguments([[1, 0]], [[1, 0]], [[0]]), precision="fp16")


@pytest.mark.parametrize("name", ["Cosine", "l2", None])
def test_an_unknown_similarity_is_not_taken_for_the_dot_product(name):
    with pytest.raises(InputError, match=r"unknown similarity; seen: .*; allowed: cosine, dot, euclidean, manhattan"):
        exact_ranks(**_arguments([[1, 0]], [[1, 0], [3, 1]], [[0]], similarity=name))

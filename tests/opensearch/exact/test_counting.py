"""Ranks counted on real servers, against a float64 computation of all scores in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.exact.counting import count_ranks, reasons_without_rank
from haystack_crossalign.opensearch.exact.ranked import Unranked
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.pool import IndexView, Pool
from haystack_crossalign.ranks.ties import tie_key

DIMENSION = 24
FIELDS = {
    "cosine": ("cosinesimil", "float"),
    "inner": ("innerproduct", "float"),
    "distance": ("l2", "float"),
    "byte_cosine": ("cosinesimil", "byte"),
    "byte_inner": ("innerproduct", "byte"),
    "byte_distance": ("l2", "byte"),
}
LANGUAGES = ["en", "zh", "ar", "es", None]
QUERIES, RELEVANT = 120, 4


@dataclass
class Corpus:
    """Documents as they stand in the index after the deletes."""

    ids: list[str]
    vectors: np.ndarray  # float32 [N, DIMENSION], NaN rows without a vector
    languages: list[str]  # "und" where the document has none
    tenants: list[str]
    deleted: tuple[str, ...]
    documents: dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    rng = np.random.default_rng(11)
    count = 1000
    base = rng.normal(size=(count, DIMENSION))
    base[700:] = base[:300]  # copies, so that documents tie exactly
    base[900:] = base[:100]
    # Whole numbers, so that float and byte fields hold the same directions.
    vectors = np.clip(np.rint(base * 40), -128, 127).astype(np.float32)
    # Order by id has nothing to do with the order of writing, and some ids are not ASCII.
    ids = [f"{'é' if number % 7 == 0 else 'D' if number % 3 else 'a'}{number}" for number in rng.permutation(count)]
    languages = [LANGUAGES[code] for code in rng.integers(0, len(LANGUAGES), count)]
    tenants = [f"t{code}" for code in rng.integers(0, 3, count)]
    bare = set(rng.choice(count, 20, replace=False).tolist())
    deleted = tuple(ids[number] for number in sorted(set(rng.choice(count, 60, replace=False).tolist()) - bare))
    documents: dict[str, dict[str, Any]] = {}
    for number, identifier in enumerate(ids):
        document: dict[str, Any] = {"tenant": tenants[number], "content": f"text {number}"}
        if languages[number] is not None:
            document["language"] = languages[number]
        if number in bare:
            vectors[number] = np.nan
        else:
            for field, (_, data_type) in FIELDS.items():
                scaled = vectors[number] if data_type == "byte" else vectors[number] / np.float32(37.0)
                document[field] = [int(x) if data_type == "byte" else float(x) for x in scaled]
        documents[identifier] = document
    keep = [number for number in range(count) if ids[number] not in deleted]
    return Corpus(
        [ids[number] for number in keep],
        vectors[keep],
        [languages[number] or "und" for number in keep],
        [tenants[number] for number in keep],
        deleted,
        documents,
    )


@pytest.fixture(scope="session")
def index(opensearch: Any, corpus: Corpus, indexing: Any) -> str:
    mapping = indexing.mapping(DIMENSION)
    for field, (space, data_type) in FIELDS.items():
        definition = indexing.mapping(DIMENSION, space, data_type)["properties"]["embedding"]
        mapping["properties"][field] = definition
    indexing.create(
        opensearch, "counting-1", corpus.documents, mapping, shards=3, delete=tuple(map(quote, corpus.deleted))
    )
    opensearch.request("POST", "/_aliases", {"actions": [{"add": {"index": "counting-1", "alias": "counting"}}]})
    return "counting"


@pytest.fixture
def client(opensearch: Any) -> Any:
    client = ReadOnlyClient(opensearch.url)
    yield client
    client.close()


def scores_in_memory(field: str, queries: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """float64 [Q, N]: cosine, dot product or negative squared distance of the float32 vectors."""
    left, right = queries.astype(np.float64), documents.astype(np.float64)
    if field.endswith("distance"):
        return -((left[:, None, :] - right[None, :, :]) ** 2).sum(axis=2)
    if field.endswith("cosine"):
        left = left / np.linalg.norm(left, axis=1, keepdims=True)
        right = right / np.linalg.norm(right, axis=1, keepdims=True)
    return left @ right.T


def draw(corpus: Corpus, field: str, candidates: np.ndarray, seed: int) -> tuple[np.ndarray, list[list[int]]]:
    """Queries near documents of the candidates and far from them, with relevant ones at all depths."""
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(candidates, RELEVANT, replace=False).tolist() for _ in range(QUERIES)]
    near = np.nan_to_num(corpus.vectors[[row[0] for row in chosen]])
    queries = near * rng.uniform(0, 1, (QUERIES, 1)) + rng.normal(size=near.shape) * 30
    if field.startswith("byte"):
        return np.clip(np.rint(queries), -128, 127).astype(np.float32), chosen
    return (queries / 37).astype(np.float32), chosen


@pytest.mark.parametrize("field", FIELDS)
def test_counted_ranks_equal_those_in_memory(client: ReadOnlyClient, index: str, corpus: Corpus, field: str) -> None:
    pool = np.flatnonzero(~np.isnan(corpus.vectors[:, 0]))
    queries, chosen = draw(corpus, field, pool, seed=len(field))
    fields = read_fields(client, index, vector=field, language="language")
    with client.point_in_time(index) as view_id:
        view = IndexView(client, view_id, fields)
        counted = count_ranks(
            view,
            queries,
            [[corpus.ids[number] for number in row] for row in chosen],
            query_languages=["en", "de"] * (QUERIES // 2),
            top_language=True,
        )
    assert counted.unranked == ()
    documents = corpus.vectors[pool] / np.float32(1.0 if field.startswith("byte") else 37.0)
    scores = scores_in_memory(field, queries, documents)
    check_table(counted.table, scores, pool, chosen, corpus)


def check_table(table: Any, scores: np.ndarray, pool: np.ndarray, chosen: list[list[int]], corpus: Corpus) -> None:
    keys = [tie_key(corpus.ids[number]) for number in pool]
    vectors = corpus.vectors[pool]
    languages = np.array([corpus.languages[number] for number in pool])
    position = {int(number): place for place, number in enumerate(pool)}
    assert table.languages == tuple(sorted({*languages.tolist(), "en", "de"}))
    assert [table.languages[code] for code in table.pool_languages] == sorted(set(languages.tolist()))
    assert table.pool_size == len(pool)
    clear = tied = 0
    for query, row in enumerate(chosen):
        for column, number in enumerate(row):
            own = position[number]
            score = scores[query, own]
            margin = 1e-6 * (1 + abs(score))
            copy = (vectors == vectors[own]).all(axis=1)
            near = (np.abs(scores[query] - score) <= margin) & ~copy
            higher = (scores[query] > score) & ~copy
            ahead = higher | (copy & np.array([other < keys[own] for other in keys]))
            rank, low, high = (
                int(values[query, column]) for values in (table.ranks, table.optimistic, table.pessimistic)
            )
            assert table.languages[table.relevant_languages[query, column]] == languages[own]
            assert table.above[query, column].sum() == rank - 1
            tied += copy.sum() > 1
            if near.any():
                # float32 cannot tell these apart for certain: the bounds lie within what they allow.
                assert 1 + (higher & ~near).sum() <= low <= rank <= high <= (higher | near | copy).sum()
                continue
            clear += 1
            assert (low, rank, high) == (1 + higher.sum(), 1 + ahead.sum(), higher.sum() + copy.sum())
            for code, tag in enumerate(table.languages):
                assert table.above[query, column, code] == (ahead & (languages == tag)).sum()
                assert table.higher[query, column, code] == (higher & (languages == tag)).sum()
                assert table.tied[query, column, code] == (copy & (languages == tag)).sum() - (languages[own] == tag)
        best = np.flatnonzero(scores[query] >= scores[query].max() - 1e-6 * (1 + abs(scores[query].max())))
        if (vectors[best] == vectors[best[0]]).all():
            first = min(best, key=lambda place: keys[place])
            assert table.languages[table.top_language[query]] == languages[first]
            equal = languages[best].tolist()
            assert table.top_versions[query].tolist() == [equal.count(tag) for tag in table.languages]
    assert clear > 0.5 * QUERIES * RELEVANT
    assert tied > 0.1 * QUERIES * RELEVANT


def test_the_filter_defines_the_pool(client: ReadOnlyClient, index: str, corpus: Corpus) -> None:
    pool = np.array([n for n, t in enumerate(corpus.tenants) if t == "t1" and not np.isnan(corpus.vectors[n, 0])])
    queries, chosen = draw(corpus, "cosine", pool, seed=5)
    fields = read_fields(client, index, vector="cosine", language="language")
    view = IndexView(client, index, fields, user_filter={"term": {"tenant": "t1"}})
    names = [[corpus.ids[number] for number in row] for row in chosen]
    counted = count_ranks(view, queries, names, query_languages=["de"] * QUERIES, top_language=True)
    documents = corpus.vectors[pool] / np.float32(37.0)
    check_table(counted.table, scores_in_memory("cosine", queries, documents), pool, chosen, corpus)


def test_reasons_are_asked_for_in_answers_that_the_index_gives(
    client: ReadOnlyClient, index: str, corpus: Corpus
) -> None:
    fields = replace(read_fields(client, index, vector="cosine", language="language"), most_hits=7)
    view = IndexView(client, index, fields)
    names = [*corpus.ids, "gone"]
    bare = np.isnan(corpus.vectors[:, 0])
    assert bare.sum() > 7
    expected = {name: "no vector" if no else "outside of the filter" for name, no in zip(names, bare, strict=False)}
    assert reasons_without_rank(view, names) == {**expected, "gone": "not in the index"}


def test_the_pool_tells_what_it_holds_and_what_it_cannot_rank(
    client: ReadOnlyClient, index: str, corpus: Corpus
) -> None:
    fields = read_fields(client, index, vector="cosine", language="language")
    with_vector = ~np.isnan(corpus.vectors[:, 0])
    expected: dict[str, int] = {}
    for tag, present in zip(corpus.languages, with_vector, strict=True):
        if present:
            expected[tag] = expected.get(tag, 0) + 1
    pool = IndexView(client, index, fields).pool()
    assert pool == Pool(int(with_vector.sum()), expected, int((~with_vector).sum()))
    assert pool.without_language == expected["und"] > 0


def test_relevant_documents_outside_the_pool_are_named_with_the_reason(
    client: ReadOnlyClient, index: str, corpus: Corpus
) -> None:
    fields = read_fields(client, index, vector="cosine", language="language")
    view = IndexView(client, index, fields, user_filter={"term": {"tenant": "t1"}})
    bare = next(n for n in np.flatnonzero(np.isnan(corpus.vectors[:, 0])) if corpus.tenants[n] == "t1")
    other = next(n for n, tenant in enumerate(corpus.tenants) if tenant == "t2" and not np.isnan(corpus.vectors[n, 0]))
    inside = next(n for n, tenant in enumerate(corpus.tenants) if tenant == "t1" and not np.isnan(corpus.vectors[n, 0]))
    names = [corpus.ids[n] for n in (bare, other, inside)] + [corpus.deleted[0]]
    counted = count_ranks(view, np.ones((2, DIMENSION)), [[], names], query_languages=["en", "en"])
    assert counted.unranked == (
        Unranked(1, names[0], "no vector"),
        Unranked(1, names[1], "outside of the filter"),
        Unranked(1, names[3], "not in the index"),
    )
    assert (counted.table.ranks[1] > 0).tolist() == [False, False, True, False]
    assert (counted.table.relevant_languages[1] >= 0).tolist() == [False, False, True, False]


def test_writes_after_the_point_in_time_change_nothing(client: ReadOnlyClient, opensearch: Any, indexing: Any) -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(50, DIMENSION)).astype(np.float32)
    documents = {
        f"d{n}": {"embedding": [float(x) for x in vectors[n]], "language": "en" if n % 2 else "zh"} for n in range(50)
    }
    indexing.create(opensearch, "frozen", documents, indexing.mapping(DIMENSION))
    fields = read_fields(client, "frozen", vector="embedding", language="language")
    arguments: Any = {"query_languages": ["en"]}
    with client.point_in_time("frozen") as view_id:
        before = count_ranks(IndexView(client, view_id, fields), vectors[:1], [["d7", "d8"]], **arguments)
        opensearch.request("PUT", "/frozen/_doc/new?refresh=true", {"embedding": documents["d0"]["embedding"]})
        opensearch.request("DELETE", "/frozen/_doc/d7?refresh=true")
        after = count_ranks(IndexView(client, view_id, fields), vectors[:1], [["d7", "d8"]], **arguments)
    assert after.table.ranks.tolist() == before.table.ranks.tolist()
    assert after.table.pool_size == before.table.pool_size == 50
    now = count_ranks(IndexView(client, "frozen", fields), vectors[:1], [["d7", "d8"]], **arguments)
    assert [one.reason for one in now.unranked] == ["not in the index"]


def test_nested_vectors_score_as_their_best_one(client: ReadOnlyClient, opensearch: Any, indexing: Any) -> None:
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(60, 3, DIMENSION)).astype(np.float32)
    mapping = indexing.mapping(DIMENSION)
    mapping["properties"]["parts"] = {
        "type": "nested",
        "properties": {"vector": mapping["properties"].pop("embedding")},
    }
    documents = {
        f"d{n:02}": {"parts": [{"vector": [float(x) for x in part]} for part in vectors[n]], "language": "en"}
        for n in range(60)
    }
    documents["none"] = {"language": "en"}
    indexing.create(opensearch, "nested", documents, mapping)
    fields = read_fields(client, "nested", vector="parts.vector", language="language")
    queries = rng.normal(size=(20, DIMENSION)).astype(np.float32)
    view = IndexView(client, "nested", fields)
    names = [[f"d{n:02}" for n in range(query, query + 30)] for query in range(20)]
    counted = count_ranks(view, queries, names, query_languages=["en"] * 20, batch=3)
    flat = scores_in_memory("cosine", queries, vectors.reshape(-1, DIMENSION))
    best = flat.reshape(20, 60, 3).max(axis=2)
    expected = [[1 + int((best[q] > best[q, n]).sum()) for n in range(q, q + 30)] for q in range(20)]
    assert counted.table.ranks.tolist() == expected
    assert view.pool() == Pool(60, {"en": 60}, 1)


def test_documents_without_a_language_field_are_one_pool(client: ReadOnlyClient, index: str, corpus: Corpus) -> None:
    pool = np.flatnonzero(~np.isnan(corpus.vectors[:, 0]))
    queries, chosen = draw(corpus, "cosine", pool, seed=6)
    view = IndexView(client, index, read_fields(client, index, vector="cosine"))
    names = [[corpus.ids[number] for number in row] for row in chosen]
    table = count_ranks(view, queries, names, query_languages=["und"] * QUERIES, top_language=True).table
    documents = corpus.vectors[pool] / np.float32(37.0)
    scores = scores_in_memory("cosine", queries, documents)
    assert table.languages == ("und",)
    assert table.top_language.tolist() == [0] * QUERIES
    clear = 0
    for query, row in enumerate(chosen):
        for column, number in enumerate(row):
            own = int(np.flatnonzero(pool == number)[0])
            if (np.abs(np.delete(scores[query], own) - scores[query, own]) > 1e-6).all():
                assert table.ranks[query, column] == 1 + (scores[query] > scores[query, own]).sum()
                clear += 1
    assert clear > 100


def test_documents_with_several_languages_are_counted_once(
    client: ReadOnlyClient, opensearch: Any, indexing: Any
) -> None:
    documents = {
        "a": {"embedding": [1.0] * DIMENSION, "language": ["en", "zh"]},
        "b": {"embedding": [2.0] * DIMENSION, "language": "en"},
    }
    indexing.create(opensearch, "bilingual", documents, indexing.mapping(DIMENSION))
    fields = read_fields(client, "bilingual", vector="embedding", language="language")
    assert IndexView(client, "bilingual", fields).pool() == Pool(2, {"en": 1, "mul": 1}, 0)


def test_spellings_of_a_language_are_counted_together(client: ReadOnlyClient, opensearch: Any, indexing: Any) -> None:
    rng = np.random.default_rng(8)
    spellings = ["zh", "zho_Hans", "en", "EN"]
    documents = {
        f"d{n}": {"embedding": rng.normal(size=DIMENSION).tolist(), "language": spellings[n % 4]} for n in range(40)
    }
    indexing.create(opensearch, "spellings", documents, indexing.mapping(DIMENSION))
    fields = read_fields(client, "spellings", vector="embedding", language="language")
    tags = {"zh": "zh", "zho_Hans": "zh", "en": "en", "EN": "en"}
    view = IndexView(client, "spellings", fields, language_of=tags.__getitem__)
    assert view.pool().by_language == {"en": 20, "zh": 20}
    table = count_ranks(view, np.ones((1, DIMENSION)), [["d0", "d1"]], query_languages=["en"]).table
    assert table.languages == ("en", "zh")
    assert table.relevant_languages.tolist() == [[1, 1]]
    assert (table.above.sum(axis=2) == table.ranks - 1).all()


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (np.ones((1, DIMENSION + 1)), "do not fit the field"),
        (np.full((1, DIMENSION), np.nan), "no numbers"),
        (np.zeros((1, DIMENSION)), "has no direction"),
    ],
)
def test_query_vectors_that_cannot_be_scored_are_refused(
    client: ReadOnlyClient, index: str, queries: np.ndarray, message: str
) -> None:
    view = IndexView(client, index, read_fields(client, index, vector="cosine"))
    with pytest.raises(InputError, match=message):
        count_ranks(view, queries, [["x"]], query_languages=["en"])


def test_a_byte_field_takes_whole_numbers_only(client: ReadOnlyClient, index: str) -> None:
    view = IndexView(client, index, read_fields(client, index, vector="byte_cosine"))
    with pytest.raises(InputError, match="whole numbers from -128 to 127"):
        count_ranks(view, np.full((1, DIMENSION), 0.5), [["x"]], query_languages=["en"])

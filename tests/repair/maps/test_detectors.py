"""The language of a query is recognized like that of a document, though queries lie elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.repair.affine import unit
from haystack_crossalign.repair.directions import fit_language_directions
from haystack_crossalign.repair.language_maps import LanguageMaps, fit_language_maps
from haystack_crossalign.repair.maps.detectors import ShortQueries
from haystack_crossalign.repair.sample import short_queries

DIM, TAGS, OTHERS = 40, ("en", "th", "zh"), ("ja", "ko")
LANGUAGE = dict(zip((*TAGS, *OTHERS), 2.0 * np.random.default_rng(3).normal(size=(5, DIM)), strict=True))
# Queries are moved toward English, in whatever language they are.
SHIFT = 0.8 * (LANGUAGE["en"] - LANGUAGE["zh"]) + np.random.default_rng(4).normal(size=DIM)


def texts(contents: int, seed: int, *, asked: bool = False, tags: tuple[str, ...] = TAGS) -> NDArray[np.float64]:
    draw = np.random.default_rng(seed)
    content = draw.normal(size=(contents, DIM))
    parts = [content + LANGUAGE[tag] + 0.2 * draw.normal(size=content.shape) + asked * SHIFT for tag in tags]
    return unit(np.concatenate(parts))


def tagged(contents: int) -> list[str]:
    return [tag for tag in TAGS for _ in range(contents)]


def maps(queries: ShortQueries | None) -> LanguageMaps:
    vectors, tags = texts(150, 1), tagged(150)
    groups = [str(row) for row in range(150)] * len(TAGS)
    others = np.stack([part.mean(axis=0) for part in np.split(texts(20, 8, tags=OTHERS), len(OTHERS))])
    shared = fit_language_directions(vectors, tags, groups).affine(1.0, 0.5)
    return fit_language_maps(shared, vectors, tags, groups, pivot="en", others=others, queries=queries)


def test_queries_to_fit_on_let_queries_be_recognized_and_documents_stay_so() -> None:
    asked, found = texts(60, 5, asked=True), tagged(60)
    alone = maps(None)
    assert alone.recognized(asked, found)["zh"] < 0.5
    with_queries = maps(ShortQueries(texts(40, 6, asked=True).astype(np.float32), tagged(40)))
    assert min(with_queries.recognized(asked, found).values()) > 0.95
    assert min(with_queries.recognized(texts(60, 7), found).values()) > 0.9
    # Texts in languages without a map are still not taken for one of these.
    for part in (texts(60, 9, tags=OTHERS), texts(60, 10, asked=True, tags=OTHERS)):
        assert (part @ with_queries.detectors.T - with_queries.offsets < 0).mean() > 0.9


def test_a_language_without_queries_is_moved_like_the_others() -> None:
    queries = ShortQueries(texts(40, 6, asked=True).astype(np.float32), tagged(40)).without("zh")
    assert set(queries.languages) == {"en", "th"}
    assert maps(queries).recognized(texts(60, 5, asked=True), tagged(60))["zh"] > 0.9


def test_where_queries_leave_two_languages_alike_the_detectors_are_those_of_documents() -> None:
    """The queries in English lie where the Chinese documents do, and the other way round: both means are the same."""
    english, thai, chinese = np.split(texts(150, 1), len(TAGS))
    queries = ShortQueries(np.concatenate([chinese, thai, english]).astype(np.float64), tagged(150))  # type: ignore[arg-type]
    made, alone = maps(queries), maps(None)
    np.testing.assert_array_equal(made.detectors, alone.detectors)
    np.testing.assert_array_equal(made.offsets, alone.offsets)
    told_apart = maps(ShortQueries(texts(40, 6, asked=True).astype(np.float32), tagged(40)))
    assert np.abs(told_apart.detectors - alone.detectors).max() > 1e-3


def test_the_middle_sentence_of_a_text_is_its_query() -> None:
    chinese = "第一句话在这里说明情况。第二句话继续说明问题所在。第三句话结束这段文字内容。"
    english = (
        "The first sentence says what it is. The second one goes on with the story. The third sentence ends it all."
    )
    assert short_queries([english, chinese, "", "A text of one sentence only."], ["en", "zh", "en", "en"]) == [
        ("en", "The second one goes on with the story."),
        ("en", "A text of one sentence only."),
        ("zh", "第二句话继续说明问题所在。"),
    ]
    assert len(short_queries([english] * 150, ["en"] * 150)) == 100
    with pytest.raises(ValueError, match="shorter"):
        short_queries([english], [])


def test_means_between_others_are_refused_with_queries_too() -> None:
    vectors = np.concatenate([texts(50, 1)[:50]] * 2)
    shared = fit_language_directions(texts(50, 1), tagged(50)).affine()
    queries = ShortQueries(vectors[:10].astype(np.float32), ["en"] * 10)
    with pytest.raises(InputError, match="lies between those of others"):
        fit_language_maps(
            shared, vectors, ["en"] * 50 + ["zh"] * 50, [str(row) for row in range(50)] * 2, pivot="en", queries=queries
        )

"""Means of languages whose documents are not the same."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from haystack_crossalign.errors import InputError
from haystack_crossalign.repair.directions import fit_language_directions
from haystack_crossalign.repair.language_means import ENOUGH_PARALLEL, language_means

DIM = 12
Sample = tuple[NDArray[np.float64], NDArray[np.int64], list[str]]
EFFECTS = np.random.default_rng(7).normal(size=(3, DIM))


def corpora(versions: dict[str, tuple[int, ...]], documents: int, seed: int = 0, noise: float = 0.0) -> Sample:
    """Corpora, each about a topic of its own, in the languages that it has."""
    draw, deviations = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    rows, codes, groups = [], [], []
    for corpus, languages in versions.items():
        topic = 5 * draw.normal(size=DIM)
        for number in range(documents):
            content = topic + draw.normal(size=DIM)
            for code in languages:
                rows.append(content + EFFECTS[code] + noise * deviations.normal(size=DIM))
                codes.append(code)
                groups.append(f"{corpus}{number}")
    return np.stack(rows), np.asarray(codes), groups


def plain(vectors: NDArray[np.float64], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.stack([vectors[codes == code].mean(axis=0) for code in range(3)])


def differences(means: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(means - means[0])


def test_topics_that_one_language_lacks_do_not_move_its_mean() -> None:
    # The third language has one corpus of two, and no document is in the second and third but not in the first.
    vectors, codes, groups = corpora({"a": (0, 1, 2), "b": (0, 1)}, 40)
    found = language_means(vectors, codes, groups)
    np.testing.assert_allclose(differences(found), differences(EFFECTS), atol=1e-9)
    assert np.abs(differences(plain(vectors, codes)) - differences(EFFECTS)).max() > 1
    # Their level is the mean over all documents, as if every language had each of them.
    everything, all_codes, _ = corpora({"a": (0, 1, 2), "b": (0, 1, 2)}, 40)
    np.testing.assert_allclose(found, plain(everything, all_codes), atol=1e-9)


def test_it_is_the_least_squares_solution() -> None:
    vectors, codes, groups = corpora({"a": (0, 1, 2), "b": (0, 1), "c": (1, 2)}, 35, seed=3, noise=0.5)
    names = sorted(set(groups))
    design = np.zeros((len(vectors), len(names) + 3))
    design[np.arange(len(vectors)), [names.index(group) for group in groups]] = 1
    design[np.arange(len(vectors)), len(names) + codes] = 1
    solution, *_ = np.linalg.lstsq(design, vectors, rcond=None)
    found = language_means(vectors, codes, groups)
    np.testing.assert_allclose(differences(found), differences(solution[len(names) :]), atol=1e-9)


def test_languages_that_share_no_document_are_linked_by_a_third() -> None:
    vectors, codes, groups = corpora({"a": (0, 1), "b": (1, 2)}, 40)
    found = language_means(vectors, codes, groups)
    np.testing.assert_allclose(differences(found), differences(EFFECTS), atol=1e-9)


def test_documents_that_every_language_has_give_the_plain_mean() -> None:
    vectors, codes, groups = corpora({"a": (0, 1, 2), "b": (0, 1, 2)}, 40, noise=0.5)
    np.testing.assert_array_equal(language_means(vectors, codes, groups), plain(vectors, codes))
    # One document more in one language is one that the others lack.
    more = np.concatenate([vectors, vectors[:1] + 50])
    found = language_means(more, np.append(codes, 0), [*groups, "alone"])
    np.testing.assert_allclose(found, plain(vectors, codes), atol=1e-12)


@pytest.mark.parametrize(
    "data",
    [
        corpora({"a": (0,), "b": (1,), "c": (2,)}, 40),
        corpora({"a": (0, 1), "b": (2,)}, 40),
        corpora({"a": (0, 1, 2), "b": (0, 1)}, ENOUGH_PARALLEL - 1),
    ],
    ids=["nothing parallel", "one language alone", "too few"],
)
def test_the_plain_mean_stands_in_where_parallel_documents_do_not_tell(data: Sample) -> None:
    np.testing.assert_array_equal(language_means(*data), plain(data[0], data[1]))
    np.testing.assert_array_equal(language_means(data[0], data[1], None), plain(data[0], data[1]))


def test_two_sets_of_languages_without_a_link_keep_their_plain_means() -> None:
    draw = np.random.default_rng(1)
    vectors, codes = draw.normal(size=(160, DIM)), np.tile([0, 1, 2, 3], 40)
    groups = [f"{code // 2}-{row // 4}" for row, code in enumerate(codes)]
    found = language_means(vectors, codes, groups)
    np.testing.assert_array_equal(found, [vectors[codes == code].mean(axis=0) for code in range(4)])


def test_a_repair_takes_out_languages_and_no_topic() -> None:
    vectors, codes, groups = corpora({"a": (0, 1, 2), "b": (0, 1)}, 60, noise=0.1)
    # Far from the origin, so that scaling to unit length bends nothing.
    vectors = vectors + 200
    tags = [("en", "es", "th")[code] for code in codes]
    scaled = differences(EFFECTS) / np.linalg.norm(vectors, axis=1).mean()
    wanted, _ = np.linalg.qr((scaled[1:] - scaled[1:] @ np.ones((DIM, DIM)) / DIM).T)

    def missed(basis: NDArray[np.float64]) -> float:
        return float(np.linalg.norm(wanted - basis.T @ basis @ wanted))

    with_groups = missed(fit_language_directions(vectors, tags, groups).basis)
    assert with_groups < 0.1 < 0.5 < missed(fit_language_directions(vectors, tags).basis)


def test_one_group_is_needed_for_each_embedding() -> None:
    vectors, codes, groups = corpora({"a": (0, 1, 2)}, 4)
    with pytest.raises(InputError, match="one group is needed"):
        language_means(vectors, codes, groups[1:])

"""Languages that a repair is not fitted on but must not harm: their texts, and the means of their embeddings.

An index is rarely closed: sooner or later it holds documents, and gets queries, in a language that was not fitted. A
map that was fitted on two languages makes the bias of such a language worse, mostly by the share of the common mean
that it removes. A dozen short texts of each of many languages prevent that: the directions in which their means differ
are removed too, and languages that were left out of them gain from it as well. The evidence is in
``benchmarks/results/other_languages.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haystack_crossalign.data.formats.jsonl import DocumentRow
from haystack_crossalign.data.sample import sample_folder
from haystack_crossalign.errors import InputError
from haystack_crossalign.repair.affine import unit
from haystack_crossalign.repair.language_means import language_means
from haystack_crossalign.repair.texts import RepairTexts, read_repair_texts

LANGUAGES_FILE = "languages.jsonl"
_KNOWN = 0.5
"""Share of a language's texts whose translation a model must find, else it does not know the language."""


def shipped_texts() -> RepairTexts:
    """Twelve short texts in 32 languages that come with this package (Apache-2.0)."""
    return read_repair_texts(sample_folder() / LANGUAGES_FILE, kind="documents")


def read_other_languages(path: Path | str | None, *, closed: bool = False) -> RepairTexts | None:
    """The texts of other languages for a repair.

    :param path: documents with ``id``, ``text`` and ``language``, parallel or not; None for the shipped ones.
    :param closed: whether the index holds, and will hold, no other languages: then there are no such texts.
    :raises InputError: for a file that cannot be used, and for a file of a closed index.
    """
    if closed and path is not None:
        raise InputError("a closed index has no other languages", source=path, allowed="--closed or --other-languages")
    if closed:
        return None
    return shipped_texts() if path is None else read_repair_texts(path, kind="documents")


@dataclass(frozen=True, eq=False)
class OtherLanguages:
    """Embeddings of texts in many languages, also in those that are fitted, by which the domains are linked.

    :param languages: tags, ascending.
    :param vectors: float64 ``[n, dim]`` of unit length.
    :param tags: language of each.
    :param groups: parallel group of each.
    :param unknown: tags of languages whose texts the model does not tell apart; they are not among ``languages``.
    """

    languages: tuple[str, ...]
    vectors: NDArray[np.float64]
    tags: tuple[str, ...]
    groups: tuple[str, ...]
    unknown: tuple[str, ...] = ()

    def means(self) -> NDArray[np.float64]:
        """Mean of each language: float64 ``[L, dim]``."""
        codes = np.asarray([self.languages.index(tag) for tag in self.tags])
        return language_means(self.vectors, codes, self.groups)

    def without(self, language: str) -> OtherLanguages:
        """The same without one language."""
        rows = [row for row, tag in enumerate(self.tags) if tag != language]
        return OtherLanguages(
            tuple(tag for tag in self.languages if tag != language), self.vectors[rows],
            tuple(self.tags[row] for row in rows), tuple(self.groups[row] for row in rows), self.unknown,
        )  # fmt: skip

    def of(self, language: str) -> dict[str, int]:
        """Row of the text of each group in a language."""
        return {self.groups[row]: row for row, tag in enumerate(self.tags) if tag == language}


def known_languages(
    embeddings: ArrayLike, languages: Sequence[str], groups: Sequence[str], reference: str
) -> OtherLanguages:
    """The languages that a model knows: of those whose texts are translations of the reference's, at least half of the
    texts are, after the mean of each language is removed, closest to their own translation. A model of two languages
    knows no others, and the means of such texts say nothing.

    :param embeddings: ``[n, dim]``, of any length.
    :param languages: tag of each.
    :param groups: parallel group of each.
    :param reference: language to compare with.
    """
    vectors = unit(np.asarray(embeddings, dtype=np.float64))
    everything = OtherLanguages(tuple(sorted(set(languages))), vectors, tuple(languages), tuple(groups))
    unknown = []
    own = everything.of(reference)
    for tag in everything.languages:
        theirs = everything.of(tag)
        shared = sorted(own.keys() & theirs.keys())
        if tag == reference or len(shared) < 2:
            continue
        first, second = (vectors[[rows[group] for group in shared]] for rows in (own, theirs))
        scores = unit(second - second.mean(axis=0)) @ unit(first - first.mean(axis=0)).T
        nearest_is_own = (scores.argmax(axis=1) == np.arange(len(shared))) & (np.ptp(scores, axis=1) > 0)
        if nearest_is_own.mean() < _KNOWN:
            unknown.append(tag)
    kept = everything
    for tag in unknown:
        kept = kept.without(tag)
    return OtherLanguages(kept.languages, kept.vectors, kept.tags, kept.groups, tuple(unknown))


def known_others(
    embeddings: ArrayLike, texts: Sequence[DocumentRow], fitted: Sequence[str], pivot: str
) -> OtherLanguages:
    """The languages of texts that a model knows, compared with the language that `reference_language` names.

    :param embeddings: ``[n, dim]``, of the texts.
    :param texts: the texts of `read_other_languages`.
    :param fitted: tags of the fitted languages.
    :param pivot: the preferred tag to compare with.
    """
    tags = [text.language for text in texts]
    reference = reference_language(fitted, sorted(set(tags)), pivot)
    return known_languages(embeddings, tags, [text.group for text in texts], reference)


def reference_language(fitted: Sequence[str], others: Sequence[str], pivot: str) -> str:
    """The language to compare other languages with: the pivot, else a fitted one, else English, else the first.

    :param fitted: tags of the fitted languages.
    :param others: tags that there are texts in.
    :param pivot: the preferred tag.
    """
    wanted = (pivot, *sorted(fitted), "en", *sorted(others))
    return next(tag for tag in wanted if tag in others)


def means_of_others(
    others: OtherLanguages, tags: Sequence[str], means: NDArray[np.float64]
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Means of the languages that are not fitted, moved to the domain of the fitted ones.

    ``m_l = mean_f(m_f) + o_l - mean_f(o_f)`` with o the means of the other texts and f the fitted languages that these
    also have (all of both where they have none): the texts are about other things than the documents, but what
    differs between two languages is nearly the same.

    :param others: texts in many languages.
    :param tags: fitted languages.
    :param means: float64 ``[L, dim]``, their means.
    :returns: tags and means of the others, ascending.
    """
    own = others.means()
    both = [tag for tag in tags if tag in others.languages]
    here = means[[list(tags).index(tag) for tag in both]] if both else means
    there = own[[others.languages.index(tag) for tag in both]] if both else own
    wanted = tuple(tag for tag in others.languages if tag not in tags)
    offset = here.mean(axis=0) - there.mean(axis=0)
    return wanted, own[[others.languages.index(tag) for tag in wanted]] + offset


def language_basis(
    means: NDArray[np.float64], others: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Common mean of all languages, and orthonormal directions in which their means differ, fitted languages first.

    The others add at most as many directions as make an eighth of the dimensions in all, the strongest first.

    :param means: float64 ``[L, dim]``, of the fitted languages.
    :param others: float64 ``[M, dim]``, of the others.
    :returns: float64 ``[dim]`` and ``[k, dim]``.
    """
    everything = np.concatenate([means, others])
    common = everything.mean(axis=0)
    basis = _directions(means - means.mean(axis=0), len(means) - 1)
    if not len(others) or not len(basis):
        return common, basis
    rest = everything - common
    rest = rest - rest @ basis.T @ basis
    wanted = min(len(others), max(0, means.shape[1] // 8 - len(basis)))
    return common, np.concatenate([basis, _directions(rest, wanted)])


def _directions(differences: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Right singular vectors, the strongest first, without those that are only rounding.

    The sign of a singular vector is arbitrary and cancels in B' B; it is fixed so that equal inputs give equal arrays.
    """
    _, lengths, directions = np.linalg.svd(differences, full_matrices=False)
    kept = directions[:count][lengths[:count] > 1e-7]
    signs = np.sign(kept[np.arange(len(kept)), np.abs(kept).argmax(axis=1)]) if len(kept) else np.empty(0)
    return np.asarray(kept * signs[:, None])

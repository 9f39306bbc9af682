"""Triplets from single sentences: aligned sentences of parallel passages, and sentences as queries."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from haystack_crossalign.data.corpora.kinds.sentences import ParallelSentence
from haystack_crossalign.data.triplets import Triplet, by_passage
from haystack_crossalign.text.sentences import sentences
from haystack_crossalign.triplets.builders import BuiltTriplets, triplets_from_sentences

# Maximum ratio between the relative lengths of a sentence and its translation within their passages.
_FACTOR = 1.8


def aligned_sentences(
    triplets: Sequence[Triplet], *, block: int = 2, queries_per_block: int = 1, seed: int = 0
) -> BuiltTriplets:
    """Build triplets from the sentences of parallel passages: a sentence is the query for its neighbors, in every
    language.

    Sentences are aligned in order if two versions of a passage have the same number of sentences with similar relative
    lengths; other versions are left out. So the target-language query of a query is its translation.

    :param triplets: triplets whose passages are split, each distinct one once, with the targets of all its triplets;
        their queries are not used.
    :param block: as :func:`~haystack_crossalign.triplets.builders.triplets_from_sentences`.
    :param queries_per_block: see there.
    :param seed: of the draw of the queries.
    :returns: the new triplets, in the order of the passages; those of a passage are in its group.
    """
    made: dict[int, list[Triplet]] = {}
    left_out: Counter[str] = Counter()
    members: dict[tuple[str, ...], list[ParallelSentence]] = {}
    sources = by_passage(triplets)
    for number, triplet in enumerate(sources):
        own = sentences(triplet.passage, longest=None)
        versions = {tag: sentences(text, longest=None) for tag, text in sorted(triplet.targets.items())}
        alike = {tag: version for tag, version in versions.items() if len(own) > 1 and _correspond(own, version)}
        left_out["versions without corresponding sentences"] += len(versions) - len(alike)
        if not alike:
            continue
        columns = {triplet.language: own, **alike}
        members.setdefault((triplet.language, *alike), []).extend(
            ParallelSentence(str(number), {tag: version[place] for tag, version in columns.items()})
            for place in range(len(own))
        )
    for (language, *targets), parallel in members.items():
        built_part = triplets_from_sentences(
            parallel, targets, language=language, block=block, queries_per_block=queries_per_block, seed=seed
        )
        left_out.update(built_part.left_out)
        for triplet in built_part.triplets:
            document, _, place = triplet.id.partition(":")
            source = sources[int(document)]
            made.setdefault(int(document), []).append(
                replace(triplet, id=f"{source.id}/sentence-{place}", group=source.group)
            )
    built = tuple(triplet for number in sorted(made) for triplet in made[number])
    return BuiltTriplets(built, dict(left_out))


def _correspond(own: Sequence[str], other: Sequence[str]) -> bool:
    if len(own) != len(other) or not own:
        return False
    whole = sum(map(len, own)) / sum(map(len, other))
    return all(
        1 / _FACTOR <= len(first) / len(second) / whole <= _FACTOR for first, second in zip(own, other, strict=True)
    )


def sentence_queries(triplets: Sequence[Triplet], per_passage: int) -> tuple[Triplet, ...]:
    """Build triplets whose queries are sentences of the passages: a multilingual inverse cloze task (Lee et al. 2019).

    The sentence stays in the passage and its targets: finding the version in the query's language is easy, so the model
    learns to rank the other versions right after it. The target-language query is the sentence at the same relative
    position in the target passage; it need not be a translation, since both belong to the same passage.

    :param triplets: triplets whose passages are used, each distinct one once, with the targets of all its triplets.
    :param per_passage: number of sentences drawn from a passage without replacement, independently of other passages.
    :returns: only the new triplets, in the order of the passages; passages with fewer than two sentences in any
        language give none.
    """
    built: list[Triplet] = []
    for triplet in by_passage(triplets):
        own = sentences(triplet.passage)
        others = {tag: sentences(text) for tag, text in triplet.targets.items()}
        if any(len(parts) < 2 for parts in (own, *others.values())):
            continue
        drawn = sorted(range(len(own)), key=lambda place: hashlib.sha256(own[place].encode()).digest())[:per_passage]
        for place in sorted(drawn):
            share = (place + 0.5) / len(own)
            built.append(
                replace(
                    triplet,
                    id=f"{triplet.id}/sentence-{place}",
                    query=own[place],
                    target_queries={tag: parts[int(share * len(parts))] for tag, parts in others.items()},
                )
            )
    return tuple(built)

"""Pairs and queries from sentences: parallel passages with as many sentences each, and short queries."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from haystack_crossalign.data.corpora.kinds.sentences import ParallelSentence
from haystack_crossalign.data.triplets import Triplet, by_passage
from haystack_crossalign.text.sentences import sentences
from haystack_crossalign.triplets.builders import BuiltTriplets, triplets_from_sentences

# Longest of a sentence against its translation, each as a share of its passage: beyond it they are not the same.
_FACTOR = 1.8


def aligned_sentences(
    triplets: Sequence[Triplet], *, block: int = 2, queries_per_block: int = 1, seed: int = 0
) -> BuiltTriplets:
    """Triplets from the sentences of parallel passages: a sentence is the query for its neighbors, in every language.

    Sentences correspond in order where two versions of a passage have the same number of them and each has a similar
    share of its version; other versions are left out. A query's target-language query is thereby
    its translation.

    :param triplets: whose passages are taken apart, each distinct one once and with the targets of all its triplets;
        their queries are not used.
    :param block: as :func:`~haystack_crossalign.triplets.builders.triplets_from_sentences`.
    :param queries_per_block: likewise.
    :param seed: of the draw of the queries.
    :returns: the new triplets, in the order of the passages; all of a passage are in its group.
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
    """Triplets whose queries are sentences of the passages: the inverse cloze task (Lee et al. 2019) over languages.

    The passage keeps the sentence, and so do its targets: finding the version in the query's language is easy, and what
    there is to learn is that the other versions follow at once. The query of a target language is the sentence of the
    target passage at the same share of its length; it need not be the translation of the English one, as both ask for
    the same passage.

    :param triplets: whose passages are taken, each distinct one once and with the targets of all its triplets.
    :param per_passage: sentences drawn from a passage without replacement, whatever the other passages are.
    :returns: the new triplets alone, in the order of the passages; passages of fewer than two sentences, in any of
        their languages, give none.
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

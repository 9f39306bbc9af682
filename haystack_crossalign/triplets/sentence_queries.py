"""Sentences of a passage as queries for it: queries in every language, where a corpus has none or English ones only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from haystack_crossalign.data.triplets import Triplet, by_passage
from haystack_crossalign.text.sentences import sentences

__all__ = ["sentence_queries"]


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
    made: list[Triplet] = []
    for triplet in by_passage(triplets):
        own = sentences(triplet.passage)
        others = {tag: sentences(text) for tag, text in triplet.targets.items()}
        if any(len(found) < 2 for found in (own, *others.values())):
            continue
        drawn = sorted(range(len(own)), key=lambda place: hashlib.sha256(own[place].encode()).digest())[:per_passage]
        for place in sorted(drawn):
            share = (place + 0.5) / len(own)
            made.append(
                replace(
                    triplet,
                    id=f"{triplet.id}/sentence-{place}",
                    query=own[place],
                    target_queries={tag: found[int(share * len(found))] for tag, found in others.items()},
                )
            )
    return tuple(made)

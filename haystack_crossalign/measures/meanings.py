"""What reports say about the measures of a result: unit, direction, best value, glossary."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from haystack_crossalign.measures.base import Direction
from haystack_crossalign.measures.parse import KINDS, known_measure


@dataclass(frozen=True)
class Meaning:
    """One entry of the glossary.

    :param title: name of the measure or of a family of measures, as shown.
    :param text: definition in plain words.
    """

    title: str
    text: str


def is_share(name: str) -> bool:
    """Whether a measure lies in 0..1 and is shown in percent."""
    measure = known_measure(name)  # None for a parity, which is a share
    return measure is None or measure.unit == "share"


def direction(name: str) -> Direction:
    """The better direction of a measure: +1 higher, -1 lower, 0 neither."""
    measure = known_measure(name)
    return 1 if measure is None else measure.direction


def best_value(name: str, relevant_per_query: float) -> float | None:
    """The best value a measure can have, None if neither direction is good.

    :param name: name of the measure.
    :param relevant_per_query: mean number of relevant versions of a query, which is the best Max@R.
    """
    measure = known_measure(name)
    return 1.0 if measure is None else measure.best(relevant_per_query)


def meanings(names: Iterable[str]) -> list[Meaning]:
    """Glossary entries of the measures of a result, in the order of `ordered_names`."""
    known = (known_measure(name) for name in ordered_names(names))
    return list(dict.fromkeys(Meaning(measure.title, measure.definition) for measure in known if measure is not None))


def ordered_names(names: Iterable[str]) -> list[str]:
    """Distinct measure names in the order of the glossary, unknown ones last."""

    def place(name: str) -> int:
        measure = known_measure(name)
        return len(KINDS) if measure is None else KINDS.index(type(measure))

    return sorted(dict.fromkeys(names), key=place)

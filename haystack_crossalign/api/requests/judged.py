"""What requests for audits of files and of an index share: the measures, the queries and the judgments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haystack_crossalign.api.model_options import ModelOptions
from haystack_crossalign.errors import InputError, check_list

if TYPE_CHECKING:
    from haystack_crossalign.measures import Measure

COUNTED = ("versions", "hits")
"""What ranks in lists count."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is measured, for any kind of audit.

    :param scenarios: ``multi`` (one pool of all languages), ``mono-same``, ``mono-cross``.
    :param languages: languages of the pool and of the queries, as BCP-47 tags; None for all.
    :param pairs: one pool of this language and X for every other language X, instead of one pool of all.
    :param measures: names such as ``Max@R``, or measures; None for the default ones.
    :param also: additional measures, for a gate.
    :param samples: bootstrap samples behind each interval.
    :param seed: seed of the bootstrap.
    """

    scenarios: Sequence[str] = ("multi",)
    languages: Sequence[str] | None = None
    pairs: str | None = None
    measures: Sequence[str | Measure] | None = None
    also: Sequence[Measure] = ()
    samples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse texts in place of lists, and a list without a measure."""
        for name in ("scenarios", "languages", "measures"):
            check_list(getattr(self, name), field=name)
        if self.measures is not None and not self.measures:
            raise InputError("no measure", field="measures", allowed="names of measures, or None for the default ones")

    @property
    def chosen_measures(self) -> list[Measure] | None:
        """The measures without duplicates; None for the default ones.

        :raises InputError: for an unknown name, or what is not a measure.
        """
        if self.measures is None:
            return None
        from haystack_crossalign.measures import Measure, parse_measure

        for measure in self.measures:
            if not isinstance(measure, str | Measure):
                raise InputError("is not a measure", field="measures", seen=measure, allowed="a name, or a measure")
        parsed = [parse_measure(measure) if isinstance(measure, str) else measure for measure in self.measures]
        return list({measure.name: measure for measure in parsed}.values())

    @property
    def described(self) -> dict[str, Any]:
        """What the user chose, as JSON values."""
        measures = self.chosen_measures
        return {
            "scenarios": list(self.scenarios),
            "languages": None if self.languages is None else list(self.languages),
            "pairs": self.pairs,
            "measures": None if measures is None else [measure.name for measure in measures],
            "samples": self.samples,
        }


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Queries and judgments, and how they are read.

    :param queries: JSON Lines, or TSV with qrels.
    :param qrels: relevant documents, as TREC qrels.
    :param workbench: relevant documents, as a judgment list of OpenSearch's Search Relevance Workbench.
    :param query_language: language of queries without one.
    :param expand_groups: whether all versions of a relevant document are also relevant; None for yes in an index and no
        in files.
    :param relevance_level: least grade of a relevant document.
    :param skip_invalid: leave out and count invalid rows.
    :param count: what ranks in lists count: ``versions``, or ``hits`` as users see them.
    :param measured: what is measured.
    :param model: model for texts without vectors.
    """

    queries: Path | None = None
    qrels: Path | None = None
    workbench: Path | None = None
    query_language: str | None = None
    expand_groups: bool | None = None
    relevance_level: int = 1
    skip_invalid: bool = False
    count: str = COUNTED[0]
    measured: Measured = field(default_factory=Measured)
    model: ModelOptions = field(default_factory=ModelOptions)

    def __post_init__(self) -> None:
        """Convert file names to paths."""
        for entry in fields(self):
            if "Path" in str(entry.type) and isinstance(value := getattr(self, entry.name), str):
                object.__setattr__(self, entry.name, Path(value))

    def check_count(self) -> None:
        """Reject an unknown way to count.

        :raises InputError: naming the option.
        """
        if self.count not in COUNTED:
            raise InputError("unknown choice", source="--count", seen=self.count, allowed=", ".join(COUNTED))

    @property
    def described_judgments(self) -> dict[str, Any]:
        """What was chosen of queries and judgments other than the defaults, as JSON values."""
        return {
            **({} if self.relevance_level == 1 else {"relevance_level": self.relevance_level}),
            **({"skip_invalid": True} if self.skip_invalid else {}),
            **({} if self.count == COUNTED[0] else {"count": self.count}),
        }

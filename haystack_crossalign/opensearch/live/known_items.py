"""Known-item probes: queries made from an index without judgments.

The title or first sentence of one version of a content is the query, and all versions of that content are relevant.
Probes are made from each version of a content, so that the queries are parallel across languages. They are easier than
real queries (their words occur in one of the documents) and say nothing about relevance in general; but the task is the
same in each language, as needed for a comparison of languages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import UNDETERMINED
from haystack_crossalign.opensearch.index.groups import (
    CHUNK_FIELD,
    Member,
    group_members,
    in_chunk_order,
    members_by_name,
    parallel_groups,
    read_stored,
    stored_request,
    stored_text,
)
from haystack_crossalign.opensearch.index.pool import MULTIPLE, IndexView
from haystack_crossalign.opensearch.live.judgments import no_judgments, versions_of
from haystack_crossalign.opensearch.live.queries import LiveQueries
from haystack_crossalign.text.detection import LanguageDetector
from haystack_crossalign.text.known_item import asked_by
from haystack_crossalign.text.sentences import first_sentence, one_line

_BATCH = 16
_ROUNDS = 10
_LOOK_ALIKES = 10
# Maximum number of documents of a group for language detection; further ones are chunks that add nothing.
_MOST_UNDETERMINED = 20

_TOO_SHORT = "too short to be a query"
_ELSEWHERE = "also the text of another group"
_SAME = "the same in two languages"
_SEVERAL = "in several languages"
_UNCLEAR = "in a language that is not clear"


@dataclass(frozen=True)
class _Probe:
    group: str
    language: str
    text: str
    field: str


def known_item_probes(
    view: IndexView,
    *,
    content_field: str = "content",
    title_field: str | None = None,
    count: int = 200,
    seed: int = 0,
    languages: Sequence[str] | None = None,
) -> LiveQueries:
    """Make probes from a random sample of the parallel groups with versions in at least two languages.

    :param view: index with a group field, its filter, best at a point in time.
    :param content_field: stored field with the documents' text; the first chunk is used.
    :param title_field: stored field with their title, whose text is preferred; None for none.
    :param count: parallel groups to make probes from; each gives one query for each of its languages.
    :param seed: the same seed gives the same probes, as long as the index does not change.
    :param languages: normalized tags of the languages to ask in; None for all.
    :returns: queries of the kind ``known-item``, sorted by group and language, with notes on what was left out.
    :raises InputError: if there is no group field, or no group from which a probe can be made; with advice.
    """
    if view.fields.group is None:
        raise no_judgments(None, "parallel_id")
    maker = _ProbeMaker(view, content_field, title_field, None if languages is None else frozenset(languages))
    groups = parallel_groups(view, seed=seed)
    probes: list[_Probe] = []
    members: dict[str, list[Member]] = {}
    for _ in range(_ROUNDS):
        # Another round replaces the groups that gave no query; a group with a single query is still usable.
        members_of = group_members(view, islice(groups, count - len(members)), stored=(CHUNK_FIELD,))
        made = maker.make(members_of)
        probes += made
        members |= {probe.group: members_of[probe.group] for probe in made}
        if not members_of or len(members) == count:
            break
    if not probes:
        raise InputError(
            "no group of documents in two languages gives a query, so nothing can be asked" + maker.left_out(),
            field=view.fields.group,
            allowed="an index whose group field joins the language versions of a content, another content or title "
            "field, or queries with judgments (--queries)",
        )
    probes.sort(key=lambda probe: (probe.group, probe.language))
    return LiveQueries(
        ids=tuple(f"{probe.group}:{probe.language}" for probe in probes),
        languages=tuple(probe.language for probe in probes),
        texts=tuple(probe.text for probe in probes),
        judged=tuple(tuple(document.identifier for document in members[probe.group]) for probe in probes),
        versions=tuple(versions_of(members[probe.group]) for probe in probes),
        groups=tuple(probe.group for probe in probes),
        kind="known-item",
        notes=_notes(probes, len(members), count, maker),
    )


class _ProbeMaker:
    """Makes probes of groups, and counts what cannot be used.

    :param view: the index.
    :param content_field: field of the text.
    :param title_field: field of the title, or None.
    :param languages: languages to ask in, or None for all.
    """

    def __init__(
        self, view: IndexView, content_field: str, title_field: str | None, languages: frozenset[str] | None
    ) -> None:
        self._view = view
        self._fields = [content_field] if title_field is None else [title_field, content_field]
        self._content, self._title = content_field, title_field
        self._languages = languages
        self._detector: LanguageDetector | None = None
        self.skipped: Counter[str] = Counter()

    def make(self, groups: dict[str, list[Member]]) -> list[_Probe]:
        """The probes of some groups, in the order of the groups."""
        chosen = [document for members in groups.values() for document in _first_documents(members)]
        stored = members_by_name(self._view, [document.identifier for document in chosen], stored=self._fields)
        probes: list[_Probe] = []
        for name, members in groups.items():
            own: dict[str, _Probe] = {}
            for document in _first_documents(members):
                self._add(own, name, stored[document.identifier])
            texts = Counter(_comparable(probe.text) for probe in own.values())
            for probe in own.values():
                if texts[_comparable(probe.text)] > 1:
                    self.skipped[_SAME] += 1
                elif self._languages is None or probe.language in self._languages:
                    probes.append(probe)
        unique = [not other for other in self._elsewhere(probes)]
        self.skipped[_ELSEWHERE] += unique.count(False)
        return [probe for probe, keep in zip(probes, unique, strict=True) if keep]

    def left_out(self) -> str:
        """What was left out and why, as an addition to a sentence; empty if nothing was."""
        parts = [f"{number} {reason}" for reason, number in sorted(self.skipped.items()) if number]
        return f" (texts left out: {', '.join(parts)})" if parts else ""

    def _add(self, own: dict[str, _Probe], group: str, document: Member) -> None:
        """Make the probe of a document, unless its language has one already."""
        title = "" if self._title is None else stored_text(document, self._title)
        query = asked_by(title, stored_text(document, self._content))
        language = document.language
        if language == MULTIPLE:
            self.skipped[_SEVERAL] += 1
            return
        if language == UNDETERMINED:
            language = self._detect(stored_text(document, self._content))
            if language == UNDETERMINED:
                self.skipped[_UNCLEAR] += 1
                return
        if language in own:
            return
        if query is None:
            self.skipped[_TOO_SHORT] += 1
            return
        field = self._title if query[0] == "title" and self._title is not None else self._content
        own[language] = _Probe(group, language, query[1], field)

    def _query(self, field: str, document: Member) -> str:
        """The query from a stored field: a whole title, or the first sentence of a text."""
        text = stored_text(document, field)
        return first_sentence(text) if field == self._content else one_line(text)

    def _detect(self, text: str) -> str:
        if self._detector is None:
            self._detector = LanguageDetector()
        return self._detector.detect([text])[0].language or UNDETERMINED

    def _elsewhere(self, probes: Sequence[_Probe]) -> Iterator[bool]:
        """Whether each probe's text is also that of a document of another group, for which it would be a query as
        well.
        """
        for start in range(0, len(probes), _BATCH):
            part = probes[start : start + _BATCH]
            answers = self._view.client.search_all([self._look_alikes(probe) for probe in part], self._view.target)
            for probe, answer in zip(part, answers, strict=True):
                others = (Member("", "", None, read_stored(self._view, hit)) for hit in answer["hits"]["hits"])
                yield _comparable(probe.text) in (_comparable(self._query(probe.field, other)) for other in others)

    def _look_alikes(self, probe: _Probe) -> dict[str, Any]:
        # Lenient, so that a field that is stored but not indexed finds nothing instead of failing.
        phrase = {"query": probe.text, "type": "phrase", "fields": [probe.field], "lenient": True}
        others = {"bool": {"must_not": [{"terms": {self._view.fields.group: [probe.group]}}]}}
        return {
            "size": _LOOK_ALIKES,
            "track_total_hits": False,
            **stored_request(self._view, [probe.field]),
            "query": {"bool": {"must": [{"multi_match": phrase}], "filter": [self._view.scoring.pool(others)]}},
        }


def _first_documents(members: Iterable[Member]) -> list[Member]:
    """The first document of each version, and some documents of unknown language."""
    ordered = in_chunk_order(members)
    first: dict[str, Member] = {}
    for member in ordered:
        if member.language != UNDETERMINED:
            first.setdefault(member.language, member)
    return [
        *first.values(),
        *[document for document in ordered if document.language == UNDETERMINED][:_MOST_UNDETERMINED],
    ]


def _comparable(text: str) -> str:
    return " ".join(text.casefold().split())


def _notes(probes: Sequence[_Probe], groups: int, count: int, maker: _ProbeMaker) -> tuple[str, ...]:
    fields = sorted({probe.field for probe in probes})
    by_language = ", ".join(f"{number} {tag}" for tag, number in sorted(Counter(p.language for p in probes).items()))
    notes = [
        f"known-item probes: {len(probes)} queries ({by_language}) from {groups} parallel groups; each is the title or "
        f"first sentence of one version (field {', '.join(fields)}), and all versions of its group are relevant"
    ]
    if groups < count:
        notes.append(f"{count} groups were asked for; {groups} have versions in two languages and a text to ask with")
    if left_out := maker.left_out():
        notes.append(left_out.strip(" ()"))
    return tuple(notes)

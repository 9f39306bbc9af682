"""The texts of an index, as documents of a file are: for a repair and for training triplets."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from haystack_crossalign.data.formats.jsonl import DocumentRow
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source
from haystack_crossalign.files.records import joined_title
from haystack_crossalign.languages import UNDETERMINED
from haystack_crossalign.opensearch.index.groups import (
    CHUNK_FIELD,
    GROUPS_PER_REQUEST,
    IDS_PER_REQUEST,
    Member,
    group_members,
    in_chunk_order,
    members_by_name,
    parallel_groups,
    stored_text,
)
from haystack_crossalign.opensearch.index.pool import MULTIPLE, IndexView
from haystack_crossalign.opensearch.index.scoring import Query
from haystack_crossalign.opensearch.index.undetermined import in_random_order, without_language
from haystack_crossalign.text.detection import LanguageDetector

NO_LANGUAGE = "without a language"
UNCLEAR = "in a language that is not clear"
SEVERAL = "in several languages"
EMPTY = "without a text"

_MOST_GROUPS = 10
"""Groups that are read at most, for each that is wanted of a language."""

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class IndexTexts:
    """Documents of an index.

    :param rows: the documents, those of a version in the order of their chunks.
    :param source: name of the index, and SHA-256 of what was read of these documents.
    :param left_out: number of documents by the reason for which they are not among the rows.
    :param detected: number of documents whose language was detected.
    """

    rows: tuple[DocumentRow, ...]
    source: Source
    left_out: Mapping[str, int]
    detected: int = 0

    @property
    def note(self) -> str | None:
        """What was detected and left out, in sentences; None if nothing was."""
        sentences = [f"The language of {self.detected} documents was detected."] if self.detected else []
        sentences += [f"Documents left out: {self._reasons}."] if self.left_out else []
        return " ".join(sentences) or None

    def require(self) -> IndexTexts:
        """Return these if there are any.

        :raises InputError: if there are none.
        """
        if self.rows:
            return self
        untold = self.left_out.get(NO_LANGUAGE)
        raise InputError(
            "no documents were found that fit",
            source=self.source.name,
            seen=f"documents left out: {self._reasons}" if self.left_out else "none",
            allowed="--detect-languages for documents without a language"
            if untold
            else "the fields of language, parallel group and text (--language-field, --group-field, --content-field)",
        )

    @property
    def _reasons(self) -> str:
        return ", ".join(f"{count} {reason}" for reason, count in sorted(self.left_out.items()))


class TextReader:
    """Reads documents of an index page by page.

    :param view: the index, best at a point in time. Vectors are neither needed nor read.
    :param content_field: stored field of the text.
    :param title_field: stored field that is put before the text; None for none.
    :param detect: detect the language of documents without one; such documents are left out otherwise.
    """

    def __init__(
        self, view: IndexView, *, content_field: str, title_field: str | None = None, detect: bool = False
    ) -> None:
        self.view = view.without_vectors()
        self._content, self._title = content_field, title_field
        self._detect = detect
        self._detector: LanguageDetector | None = None
        self._left_out: Counter[str] = Counter()
        self._detected = 0

    def parallel(
        self, *, per_language: int, languages: Sequence[str] = (), seed: int = 0, progress: Report | None = None
    ) -> IndexTexts:
        """Documents of parallel groups in a random order, until each language has enough of them.

        :param per_language: groups per language that are enough; more are read of a language that occurs with others.
        :param languages: normalized tags; empty for all. Documents in others are not read.
        :param seed: of the order.
        :param progress: called with the groups read of the language with fewest, and ``per_language``.
        """
        wanted = frozenset(languages)
        open_tags = wanted or (self.view.pool().by_language.keys() - {UNDETERMINED, MULTIPLE})
        counts: Counter[str] = Counter()
        rows: list[DocumentRow] = []
        # A language of few documents would have all of a large index read for it.
        names = islice(parallel_groups(self.view, seed=seed), _MOST_GROUPS * per_language)
        while part := list(islice(names, GROUPS_PER_REQUEST)):
            if progress is not None:
                progress(min((counts[tag] for tag in open_tags | counts.keys()), default=0), per_language)
            for group in self.groups(part, wanted):
                tags = {row.language for row in group}
                if len(tags) > 1 and any(counts[tag] < per_language for tag in tags):
                    rows += group
                    counts.update(tags)
            if counts and all(counts[tag] >= per_language for tag in open_tags | counts.keys()):
                break
        return self._texts(rows)

    def tagged(
        self, *, per_language: int, languages: Sequence[str] = (), seed: int = 0, progress: Report | None = None
    ) -> IndexTexts:
        """Documents of each language in a random order, whatever their groups; one of each version.

        :param per_language: documents per language, at most as many as an answer of the server may hold.
        :param languages: normalized tags; empty for all.
        :param seed: of the order.
        :param progress: called with the documents read, and the number of all.
        """
        pool = self.view.pool().by_language
        tags = [tag for tag in pool if tag != MULTIPLE and (tag in languages or tag == UNDETERMINED or not languages)]
        ids = [name for tag in tags for name in self._drawn(tag, per_language, seed)]
        rows: dict[tuple[str, str], DocumentRow] = {}
        for start in range(0, len(ids), IDS_PER_REQUEST):
            if progress is not None:
                progress(start, len(ids))
            members = members_by_name(self.view, ids[start : start + IDS_PER_REQUEST], stored=self._stored)
            for row in self._rows(members.values()):
                if not languages or row.language in languages:
                    rows.setdefault((row.group, row.language), row)
        return self._texts(rows.values())

    def groups(self, names: Sequence[str], languages: frozenset[str] = frozenset()) -> Iterator[list[DocumentRow]]:
        """The documents of some parallel groups, in the order of the names.

        :param names: of the groups; those that the index lacks are left out.
        :param languages: normalized tags; empty for all.
        """
        members = group_members(self.view, names, stored=self._stored)
        for name in names:
            rows = self._rows(in_chunk_order(members.get(name, ())))
            yield [row for row in rows if not languages or row.language in languages]

    def documents(self, ids: Iterable[str]) -> list[DocumentRow]:
        """Documents by their ids, those without a text or a language left out."""
        return self._rows(members_by_name(self.view, ids, stored=self._stored).values())

    def finished(self, rows: Iterable[DocumentRow]) -> IndexTexts:
        """Documents from `groups` and `documents`, with what was left out on the way.

        :param rows: the documents.
        """
        return self._texts(rows)

    @property
    def _stored(self) -> list[str]:
        return [name for name in (self._title, self._content, CHUNK_FIELD) if name is not None]

    def _drawn(self, tag: str, count: int, seed: int) -> list[str]:
        view = self.view
        chosen: list[Query] = [{"terms": {view.fields.language: list(view.values_of(tag))}}]
        if view.fields.language is None or tag == UNDETERMINED:
            chosen = without_language(view)
        body = {
            "size": min(count, view.fields.most_hits),
            "track_total_hits": False,
            "_source": False,
            "query": in_random_order(view.scoring.pool(*chosen), seed),
        }
        return [view.names.of(hit) for hit in view.client.search(body, view.target)["hits"]["hits"]]

    def _rows(self, members: Iterable[Member]) -> list[DocumentRow]:
        rows = []
        for member in members:
            if member.language == MULTIPLE:
                self._left_out[SEVERAL] += 1
                continue
            text = stored_text(member, self._content)
            title = "" if self._title is None else stored_text(member, self._title)
            if not (text.strip() or title.strip()):
                self._left_out[EMPTY] += 1
                continue
            language = member.language
            if language == UNDETERMINED:
                language = self._told(text or title)
                if language == UNDETERMINED:
                    self._left_out[UNCLEAR if self._detect else NO_LANGUAGE] += 1
                    continue
            whole = joined_title(title, text) if title else text
            rows.append(
                DocumentRow(
                    id=member.identifier,
                    group=member.group or member.identifier,
                    language=language,
                    text=whole,
                    title=title,
                    body=text if title else None,
                )
            )
        return rows

    def _told(self, text: str) -> str:
        if not self._detect:
            return UNDETERMINED
        if self._detector is None:
            # Of similar languages, one that is the only one among the other documents is preferred, as in files.
            self._detector = LanguageDetector(likely=self.view.pool().by_language.keys() - {UNDETERMINED, MULTIPLE})
        language = self._detector.detect([text])[0].language
        self._detected += language is not None
        return language or UNDETERMINED

    def _texts(self, rows: Iterable[DocumentRow]) -> IndexTexts:
        kept = tuple(rows)
        digest = hashlib.sha256()
        for row in kept:
            line = [row.id, row.group, row.language, row.title, row.text]
            digest.update(json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
        source = Source(", ".join(self.view.fields.indices), digest.hexdigest())
        return IndexTexts(kept, source, dict(self._left_out), self._detected)

"""Map values of the language field that are not language tags, such as names of indices or custom codes, to tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import normalize_language

_ALLOWED = "VALUE=LANGUAGE pairs joined by commas, such as docs-de=de,docs-en*=en"


@dataclass(frozen=True)
class LanguageMap:
    """Tags by value; a value without an entry is used itself.

    :param entries: normalized tag by value, or by a pattern with ``*`` and ``?``; the first match counts.
    """

    entries: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str | None, *, source: str = "--language-map") -> LanguageMap:
        """Parse a map such as ``docs-de=de,docs-en=en``.

        :raises InputError: if it has another form, a duplicate value, or something that is not a language.
        """
        entries: dict[str, str] = {}
        for part in (text or "").split(","):
            if not part.strip() and not text:
                continue
            value, equals, tag = (piece.strip() for piece in part.rpartition("="))
            if not (value and equals and tag) or value in entries:
                raise InputError("not a map of languages", source=source, seen=part.strip(), allowed=_ALLOWED)
            entries[value] = normalize_language(tag, source=source, field=value)
        return cls(entries)

    def tag(self, value: str) -> str:
        """Normalized tag of a value.

        :raises InputError: if it is not a language and has no entry.
        """
        tags = (tag for pattern, tag in self.entries.items() if pattern == value or fnmatchcase(value, pattern))
        return next(tags, None) or normalize_language(value)

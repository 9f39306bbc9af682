"""From values of the language field to language tags, where they are none themselves: names of indices, own codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import normalize_language

_ALLOWED = "VALUE=LANGUAGE pairs joined by commas, such as docs-de=de,docs-en*=en"


@dataclass(frozen=True)
class LanguageMap:
    """Tags by value; a value that no entry names stands for itself.

    :param entries: normalized tag by value, or by a pattern of values with ``*`` and ``?``; the first that fits counts.
    """

    entries: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str | None, *, source: str = "--language-map") -> LanguageMap:
        """The map that a text writes as ``docs-de=de,docs-en=en``.

        :raises InputError: it is written otherwise, names a value twice, or something that is no language.
        """
        entries: dict[str, str] = {}
        for part in (text or "").split(","):
            if not part.strip() and not text:
                continue
            value, equals, tag = (one.strip() for one in part.rpartition("="))
            if not (value and equals and tag) or value in entries:
                raise InputError("not a map of languages", source=source, seen=part.strip(), allowed=_ALLOWED)
            entries[value] = normalize_language(tag, source=source, field=value)
        return cls(entries)

    def tag(self, value: str) -> str:
        """Normalized tag of a value.

        :raises InputError: it is no language, and no entry names it.
        """
        found = (tag for pattern, tag in self.entries.items() if pattern == value or fnmatchcase(value, pattern))
        return next(found, None) or normalize_language(value)

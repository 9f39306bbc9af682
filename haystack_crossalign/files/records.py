"""Read typed fields of JSON objects; an error names the field, the value and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import is_missing_language, normalize_language

# Objects in which other tools put custom fields: Haystack's unflattened documents and BEIR's corpus files.
_NESTED = ("meta", "metadata")
_TEXT = "a text that is not empty"
_TEXT_FIELDS = ("text", "content")
# Nine digits are more than any grade needs; int() can fail for a longer text.
_LARGEST_GRADE = 10**9
_GRADE = re.compile(r"[+-]?[0-9]{1,9}(\.0*)?", re.ASCII)
_ID = "a text that is not empty, or a whole number"


def whole_grade(value: object) -> int | None:
    """A relevance grade from a number or its text, such as ``2``, ``"2"`` or ``"2.0"``; None if it is not an
    integer.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str) and not _GRADE.fullmatch(value.strip()):
        return None
    if isinstance(value, int) and abs(value) >= _LARGEST_GRADE:
        return None
    number = float(value)
    return int(number) if abs(number) < _LARGEST_GRADE and number == int(number) else None


class DocumentText(NamedTuple):
    """The parts of a document that are embedded.

    :param title: its title, empty if it has none.
    :param body: its text without the title, empty if it has only a title.
    """

    title: str
    body: str

    @property
    def text(self) -> str:
        """Title and text, as in BEIR: the text that audits embed."""
        return joined_title(self.title, self.body) if self.title else self.body


def joined_title(title: str, body: str) -> str:
    """Title and text, joined with a space; one of the two may be empty."""
    return f"{title} {body}" if title and body else title or body


@dataclass(frozen=True)
class Record:
    """A JSON object of a file, with what error messages need.

    A field is read from the object itself or from its ``meta`` or ``metadata`` object; ``meta.language`` names the same
    field as ``language``. A field that is null is absent.

    :param values: the object.
    :param path: its file. :param line: 1-based line, None if it has none.
    :param prefix: path of this object within the file's object, put before field names in messages.
    """

    values: Mapping[str, object]
    path: str | Path
    line: int | None = None
    prefix: str = ""

    def get(self, field: str) -> object:
        """The value of a field, None if it is absent."""
        # Most fields have no such prefix.
        name = field.removeprefix("meta.").removeprefix("metadata.") if "." in field else field
        value = self.values.get(name)
        if value is not None:
            return value
        for key in _NESTED:
            inner = self.values.get(key)
            # Most records have neither, and checking the type of a missing value takes longer than everything else.
            if inner is not None and isinstance(inner, Mapping) and inner.get(name) is not None:
                return inner[name]
        return None

    def identifier(self, field: str) -> str:
        """A required id. Integers are converted to their decimal digits."""
        value = self.optional_identifier(field)
        if value is None:
            raise self.error("missing field", field, allowed=_ID)
        return value

    def optional_identifier(self, field: str) -> str | None:
        """An id, None if it is absent."""
        value = self.get(field)
        return None if value is None else self._as_identifier(field, value)

    def identifiers(self, field: str) -> tuple[str, ...] | None:
        """A list of ids without duplicates, in order; None if it is absent."""
        value = self.get(field)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self.error("not a list of ids", field, value, 'a list of ids such as ["d1", "d2"]')
        return tuple(dict.fromkeys(self._as_identifier(field, item) for item in value))

    def graded_identifiers(self, field: str) -> dict[str, int] | None:
        """Ids with their relevance grades, or a list of ids without duplicates, each with grade 1; None if absent."""
        value = self.get(field)
        if not isinstance(value, Mapping):
            names = self.identifiers(field)
            return None if names is None else dict.fromkeys(names, 1)
        grades = {}
        for name, grade in value.items():
            number = whole_grade(grade)
            if number is None:
                raise self.error(f"not a grade of '{name}'", field, grade, "whole numbers; 1 and above mean relevant")
            grades[self._as_identifier(field, name)] = number
        return grades

    def document_text(self, title_field: str | None) -> DocumentText:
        """The text of a document, in ``text`` or ``content``, and its title; one of the two may be missing.

        :param title_field: field of the title; None for none.
        """
        title = "" if title_field is None else self.lenient_text(title_field)
        if not title:
            return DocumentText("", self.text(*_TEXT_FIELDS))
        return DocumentText(title, next((text for field in _TEXT_FIELDS if (text := self.lenient_text(field))), ""))

    def text(self, *fields: str) -> str:
        """The text of the first of ``fields`` that is present; it must not be empty."""
        for field in fields:
            value = self.get(field)
            if value is not None:
                return self._as_text(field, value)
        raise self.error("missing field", fields[0], allowed=_TEXT)

    def optional_text(self, field: str) -> str:
        """The text of a field, empty if it is absent or empty."""
        value = self.get(field)
        return "" if value is None or value == "" else self._as_text(field, value)

    def lenient_text(self, field: str) -> str:
        """The text of a field, empty if it is absent or blank."""
        value = self.get(field)
        return "" if value is None or (isinstance(value, str) and not value.strip()) else self._as_text(field, value)

    def objects(self, field: str) -> Iterator[Record]:
        """The objects of a required list that is not empty."""
        value = self.get(field)
        if not isinstance(value, list) or not value:
            raise self.error("not a list of objects", field, ... if value is None else value, "a list of JSON objects")
        for number, item in enumerate(value):
            place = f"{self.prefix}{field}[{number}]"
            if not isinstance(item, Mapping):
                raise InputError(
                    "not a JSON object", source=self.path, line=self.line, field=place, seen=item, allowed="an object"
                )
            yield Record(item, self.path, self.line, f"{place}.")

    def whole_number(self, field: str) -> int:
        """A required integer."""
        value = self.get(field)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error("not a whole number", field, ... if value is None else value, "a whole number such as 1")
        return value

    def language(self, field: str, default: str | None = None, *, advice: str = "") -> str:
        """The normalized tag of the language in ``field``, or ``default`` if it is absent or a missing value.

        :param advice: what else helps where there is none, added to the message.
        """
        value = self.get(field)
        if is_missing_language(value) and default is not None:
            return default
        if value is None:
            raise self.error("missing field", field, allowed=f"the language, such as 'zh' or 'zho_Hans'{advice}")
        if isinstance(value, str):
            self._encodable(field, value)
        return normalize_language(value, source=self.path, line=self.line, field=self.prefix + field)

    def error(self, problem: str, field: str, seen: object = ..., allowed: str | None = None) -> InputError:
        """An error about one of the fields."""
        return InputError(
            problem, source=self.path, line=self.line, field=self.prefix + field, seen=seen, allowed=allowed
        )

    def _as_identifier(self, field: str, value: object) -> str:
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            raise self.error("wrong type of id", field, value, _ID)
        if not value or value.isspace():
            raise self.error("empty id", field, value, _ID)
        return self._encodable(field, value)

    def _as_text(self, field: str, value: object) -> str:
        if not isinstance(value, str):
            raise self.error("not a text", field, value, _TEXT)
        if not value or value.isspace():
            raise self.error("empty text", field, value, _TEXT)
        return self._encodable(field, value)

    def _encodable(self, field: str, value: str) -> str:
        # JSON can encode half of a surrogate pair, which no file, index or tokenizer accepts.
        if value.isascii():
            return value
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise self.error("not valid Unicode (half of a surrogate pair)", field, value, "Unicode text") from error
        return value

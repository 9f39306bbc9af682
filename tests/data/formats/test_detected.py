"""Documents that name no language, for a repair and for triplets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from haystack_crossalign.data.formats.detected import detect_rows
from haystack_crossalign.data.formats.jsonl import document_rows
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import TextFile
from haystack_crossalign.languages import UNDETERMINED
from haystack_crossalign.repair.texts import read_repair_texts

TEXTS = {
    "en": "The library opens at nine in the morning and closes late in the evening.",
    "de": "Die Bibliothek öffnet morgens um neun Uhr und schließt erst spät am Abend.",
    "zh": "图书馆早上九点开门，晚上很晚才关门。",
    "es": "La biblioteca abre a las nueve de la mañana y cierra muy tarde por la noche.",
}
NO_LANGUAGE = "4711 / 0815"


def write_documents(path: Path, *, named: tuple[str, ...] = ()) -> Path:
    rows = [
        {"id": tag, "text": text, "parallel_id": "1"} | ({"language": tag} if tag in named else {})
        for tag, text in TEXTS.items()
    ]
    rows.append({"id": "number", "text": NO_LANGUAGE, "parallel_id": "2"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("named", [(), ("de", "zh")])
def test_languages_are_detected_and_unclear_texts_left_out_and_counted(tmp_path: Path, named: tuple[str, ...]) -> None:
    path = write_documents(tmp_path / "d.jsonl", named=named)
    found = detect_rows(document_rows(TextFile(path), default_language=UNDETERMINED))
    assert {row.id: row.language for row in found.rows} == {tag: tag for tag in TEXTS}
    assert (found.detected, found.unclear) == (4 - len(named), 1)
    assert found.note == (f"The language of {4 - len(named)} documents was detected; not clear, and left out: 1.")


def test_where_every_document_names_its_language_nothing_is_said(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps({"id": 1, "text": NO_LANGUAGE, "language": "fr"}) + "\n", encoding="utf-8")
    found = detect_rows(document_rows(TextFile(path)))
    assert [row.language for row in found.rows] == ["fr"]
    assert found.note is None


def test_a_repair_takes_documents_whose_language_was_detected(tmp_path: Path) -> None:
    path = write_documents(tmp_path / "d.jsonl")
    texts = read_repair_texts(path, parallel=True, detect=True)
    assert texts.languages == ("de", "en", "es", "zh")
    assert texts.detection is not None
    with pytest.raises(InputError, match="or --detect-languages"):
        read_repair_texts(path, parallel=True, detect=False)
    with pytest.raises(InputError, match="missing field") as caught:
        read_repair_texts(path, parallel=True)
    assert "--detect-languages" not in str(caught.value)

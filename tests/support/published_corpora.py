"""Small corpora in the layouts in which the real ones are published. The texts are invented."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

# Two documents of three and two sentences.
DOCUMENTS = ("lake.1", "lake.1", "lake.1", "fair.2", "fair.2")
SENTENCES = {
    "en": ("The lake froze early.", 'Skaters called it "glass".', "The ferry stayed in port.",
           "The fair opens on Friday.", "Bread is baked on the spot."),
    "zh": ("湖面早早结冰。", "滑冰的人称它为“玻璃”。", "渡轮留在港口。", "集市星期五开幕。", "面包现场烘烤。"),
    "es": ("El lago se heló pronto.", "Los patinadores lo llamaron «cristal».", "El ferri se quedó en el puerto.",
           "La feria abre el viernes.", "El pan se hornea allí mismo."),
}  # fmt: skip


def write(path: Path, content: str | Iterable[object]) -> Path:
    """Write text, or objects as JSON lines; as gzip where the name says so."""
    text = (
        content if isinstance(content, str) else "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in content)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def write_ntrex(
    root: Path, codes: Mapping[str, Sequence[str]], *, english: Sequence[str], documents: Sequence[str]
) -> Path:
    """The repository of NTREX-128, with the lines of each code."""
    folder = root / "NTREX" / "NTREX-128"
    write(folder / "newstest2019-src.eng.txt", "".join(f"{line}\n" for line in english))
    write(root / "NTREX" / "DOCUMENT_IDS.tsv", "".join(f"{name}\n" for name in documents))
    for code, lines in codes.items():
        write(folder / f"newstest2019-ref.{code}.txt", "".join(f"{line}\n" for line in lines))
    return root / "NTREX"


def write_tico19(root: Path, splits: Mapping[str, Sequence[Mapping[str, str]]], codes: Mapping[str, str]) -> Path:
    """The unpacked archive of TICO-19.

    :param splits: for each split its rows, with ``id``, ``en`` and a text per language.
    :param codes: the code of each language in names of files.
    """
    columns = [
        "sourceLang",
        "targetLang",
        "sourceString",
        "targetString",
        "stringID",
        "url",
        "license",
        "translator_ID",
    ]
    for split, rows in splits.items():
        for tag, code in codes.items():
            lines = ["\t".join(columns)]
            for row in rows:
                texts = [_quoted(row["en"]), _quoted(row.get(tag, ""))]
                lines.append("\t".join(["en", code, *texts, row["id"], "https://example.org", "CC0", "1"]))
            write(root / "tico19-testset" / split / f"{split}.en-{code}.tsv", "".join(f"{line}\n" for line in lines))
    return root / "tico19-testset"


def squad(articles: Mapping[str, Mapping[str, Mapping[str, str]]]) -> str:
    """A file in the SQuAD format: for each title its paragraphs with their questions by id."""
    data = [
        {
            "title": title,
            "paragraphs": [
                {
                    "context": context,
                    "qas": [{"id": name, "question": text, "answers": []} for name, text in qas.items()],
                }
                for context, qas in paragraphs.items()
            ],
        }
        for title, paragraphs in articles.items()
    ]
    return json.dumps({"version": "1.1", "data": data}, ensure_ascii=False)


def _quoted(cell: str) -> str:
    """A cell as pandas and spreadsheets write it."""
    return '"' + cell.replace('"', '""') + '"' if '"' in cell else cell


def rows(tag: str) -> list[dict[str, Any]]:
    """The sentences of one language as rows of FLORES+."""
    return [
        {"id": number, "text": text, "url": f"https://example.org/{name}", "iso_639_3": tag}
        for number, (text, name) in enumerate(zip(SENTENCES[tag], DOCUMENTS, strict=True))
    ]

"""The readers on the shared files, and on small files with faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from published_corpora import write_ntrex, write_tico19

from haystack_crossalign.errors import InputError
from haystack_crossalign.triplets.corpora import CORPORA, read_drop_list

FILES = {
    "ntrex": "ntrex_16lang.jsonl",
    "tico19": "tico19_8lang.jsonl",
    "course_sections": "ms_coop_sections_6lang.jsonl",
    "squad": "squad_dev_minus_xquad_en_zh_es_vi.jsonl",
}


def raw(shared_data: Path, corpus: str) -> list[dict[str, Any]]:
    lines = (shared_data / "train" / FILES[corpus]).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_news_sentences_stand_among_their_neighbours_in_every_language(shared_data: Path) -> None:
    built, source = CORPORA["ntrex"](shared_data / "train" / FILES["ntrex"], ["zh", "th"], block=5, seed=3)
    rows = raw(shared_data, "ntrex")
    places = {row["en"]: place for place, row in enumerate(rows)}
    assert source.name == FILES["ntrex"]
    assert {tag for triplet in built.triplets for tag in triplet.targets} == {"zh", "th"}
    for triplet in built.triplets[::25]:
        row = rows[places[triplet.query]]
        document = triplet.group.rsplit(":", 1)[0]
        assert document == row["doc"]
        assert triplet.target_queries == {tag: row[tag] for tag in ("zh", "th")}
        start = int(triplet.group.rsplit(":", 1)[1])
        block = [one for one in rows if one["doc"] == document][start : start + 5]
        assert triplet.passage == " ".join(one["en"].strip() for one in block if one is not row)
        assert triplet.targets["zh"] == "".join(one["zh"].strip() for one in block if one is not row)


def test_a_language_that_the_file_lacks_is_left_out_where_others_are_there(shared_data: Path) -> None:
    built, _ = CORPORA["tico19"](shared_data / "train" / FILES["tico19"], ["th", "ar", "vi", "zho_Hans"])
    assert {tuple(sorted(triplet.targets)) for triplet in built.triplets} == {("ar", "zh")}
    rows = {row["en"]: row for row in raw(shared_data, "tico19")}
    assert all(rows[triplet.query]["ar"] == triplet.target_queries["ar"] for triplet in built.triplets)
    with pytest.raises(InputError, match="no text in any of the target languages"):
        CORPORA["tico19"](shared_data / "train" / FILES["tico19"], ["th", "vi"])


def test_the_published_files_give_the_same_triplets_as_json_lines(shared_data: Path, tmp_path: Path) -> None:
    """On the real texts: lines and columns as they are published, against one object a line."""
    codes = {"zh": "zho-CN", "es": "spa", "th": "tha"}
    rows = raw(shared_data, "ntrex")
    columns = {code: [row[tag] for row in rows] for tag, code in codes.items()}
    columns |= {"spa-MX": ["otro"] * len(rows), "zho-TW": ["他"] * len(rows)}
    documents = [row["doc"] for row in rows]
    ntrex = write_ntrex(tmp_path, columns, english=[row["en"] for row in rows], documents=documents)
    rows = [{"id": row["tuid"], **row} for row in raw(shared_data, "tico19")]
    splits = {"dev": rows[::3], "test": [row for place, row in enumerate(rows) if place % 3]}
    tico19 = write_tico19(tmp_path, splits, {"zh": "zh", "es": "es-LA", "ar": "ar"})
    for corpus, folder in (("ntrex", ntrex), ("tico19", tico19)):
        built, _ = CORPORA[corpus](folder, ["es", "zh", "th"], block=3, seed=5)
        expected, _ = CORPORA[corpus](shared_data / "train" / FILES[corpus], ["es", "zh", "th"], block=3, seed=5)
        assert len(built.triplets) > 500
        assert built == expected


def test_sections_have_the_languages_they_are_translated_into_and_headings_that_mean_one_section(
    shared_data: Path,
) -> None:
    languages = ["zh", "ar", "es", "th", "vi"]
    built, _ = CORPORA["course_sections"](shared_data / "train" / FILES["course_sections"], languages)
    rows = {f"{row['repo']}/{row['file']}#{row['k']}": row for row in raw(shared_data, "course_sections")}
    headings: dict[str, set[str]] = {}
    for triplet in built.triplets:
        row = rows[triplet.group]
        assert triplet.query == row["h"]["en"].strip()
        assert set(triplet.targets) == set(row["p"]) - {"en"}
        assert triplet.target_queries == {tag: row["h"][tag] for tag in triplet.targets}
        headings.setdefault(" ".join(triplet.query.casefold().split()), set()).add(triplet.group)
    assert all(len(groups) == 1 for groups in headings.values())
    assert "introduction" not in headings
    complete = sum(len(triplet.targets) == 5 for triplet in built.triplets)
    assert 0 < complete < len(built.triplets)
    # Nothing goes uncounted.
    assert len(built.triplets) + sum(built.left_out.values()) == len(rows)
    assert built.left_out["headings of several sections"] > 0


def test_questions_of_one_paragraph_are_one_group_and_dropped_ids_are_gone(shared_data: Path) -> None:
    drop = shared_data / "train" / "drop_8gram_overlap_with_xquad.json"
    path = shared_data / "train" / FILES["squad"]
    whole, _ = CORPORA["squad"](path, ["zh", "vi"])
    part, _ = CORPORA["squad"](path, ["zh", "vi"], drop=drop)
    every, kept = whole.triplets, part.triplets
    dropped = set(json.loads(drop.read_text(encoding="utf-8"))["squad"])
    assert [triplet for triplet in every if triplet.id not in dropped] == list(kept)
    assert len(kept) < len(every)
    rows = {row["id"]: row for row in raw(shared_data, "squad")}
    lacking = {name for name, row in rows.items() if not {"p_zh", "p_vi"} & row.keys()}
    assert len(every) == len(rows) - whole.left_out["without a target language"]
    assert whole.left_out == {"on the drop list": 0, "without a target language": len(lacking)}
    assert part.left_out == {
        "on the drop list": len(dropped & rows.keys()),
        "without a target language": len(lacking - dropped),
    }
    passages: dict[str, set[str]] = {}
    for triplet in every:
        row = rows[triplet.id]
        assert (triplet.query, triplet.passage) == (row["q_en"], row["p_en"])
        assert triplet.targets == {tag: row[f"p_{tag}"] for tag in ("zh", "vi") if f"p_{tag}" in row}
        assert triplet.group.startswith(f"{row['title']}#")
        passages.setdefault(triplet.group, set()).add(triplet.passage)
    assert all(len(texts) == 1 for texts in passages.values())
    assert len(passages) == len({triplet.passage for triplet in every})


def test_translated_questions_become_target_queries(tmp_path: Path) -> None:
    row = {"id": 7, "title": "T", "q_en": "q?", "q_zh": "问?", "q_es": "¿q?", "p_en": "p", "p_zh": "段"}
    built, _ = CORPORA["squad"](write(tmp_path / "s.jsonl", row), ["zh", "es"])
    (triplet,) = built.triplets
    assert (triplet.id, triplet.targets, triplet.target_queries) == ("7", {"zh": "段"}, {"zh": "问?"})


def test_dropping_a_sentence_takes_it_out_of_every_passage(tmp_path: Path) -> None:
    rows = [{"line": number, "doc": "d", "en": f"e{number}", "zh": f"z{number}"} for number in range(4)]
    path, drop = write(tmp_path / "n.jsonl", *rows), tmp_path / "drop.json"
    drop.write_text("[2]", encoding="utf-8")
    built, _ = CORPORA["ntrex"](path, ["zh"], drop=drop)
    (triplet,) = built.triplets
    assert built.left_out["on the drop list"] == 1
    assert {triplet.query, *triplet.passage.split()} == {"e0", "e1", "e3"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"doc": "d", "en": "e", "zh": "z"}, "line 1, field 'line': missing field"),
        ({"line": 0, "doc": "d", "zh": "z"}, "line 1, field 'en': no English text"),
        ({"line": 0, "doc": "d", "en": "e", "zh": 3}, "line 1, field 'zh': not a text"),
        ({"line": 0, "doc": "d", "en": "e", "xx-klingonish": "z"}, "unknown language"),
    ],
)
def test_a_wrong_record_is_named_by_line_and_field(tmp_path: Path, row: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        CORPORA["ntrex"](write(tmp_path / "n.jsonl", row), ["zh"])


def test_wrong_sections_languages_and_drop_lists_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", {"repo": "r", "file": "f", "k": 1, "p": {"en": "p"}, "h": "heading"})
    with pytest.raises(InputError, match="field 'h': not an object"):
        CORPORA["course_sections"](path, ["zh"])
    for languages in ([], ["en"], ["zh", "English"]):
        with pytest.raises(InputError, match="cannot be a target language"):
            CORPORA["squad"](path, languages)
    with pytest.raises(InputError, match="no such file"):
        CORPORA["squad"](tmp_path / "missing.jsonl", ["zh"])
    for text, message in (
        ("[1,", "not valid JSON"),
        ("[1,\n\n\n2,,]", "line 4: not valid JSON"),
        (100_000 * "[", "not usable JSON"),
        ('{"a": 3}', "not a list of ids"),
        ("[true]", "not a list of ids"),
    ):
        (tmp_path / "drop.json").write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=message):
            read_drop_list(tmp_path / "drop.json")
    (tmp_path / "drop.json").write_text('{"a": ["x", 3], "b": []}', encoding="utf-8")
    assert read_drop_list(tmp_path / "drop.json") == {"x", "3"}

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas
import pyarrow
import pytest
from datasets import Dataset
from pyarrow import parquet

from haystack_crossalign.data.formats.triplets import read_dataset, read_pairs, read_triplets
from haystack_crossalign.data.triplets import Triplet, columns, with_unique_ids
from haystack_crossalign.errors import InputError

NESTED = {
    "id": "t1",
    "group": "p1",
    "query": "Who?",
    "passage": "It was she.",
    "targets": {"zho_Hans": "是她。", "ar": "كانت هي."},
    "target_queries": {"zh": "谁？"},
}
FULL = Triplet("t1", "p1", "en", "Who?", "It was she.", {"ar": "كانت هي.", "zh": "是她。"}, {"zh": "谁？"})


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_json_lines_hold_several_target_languages_with_normalized_tags(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", NESTED)
    triplets, source = read_triplets(path)
    assert triplets == (FULL,)
    assert (source.name, source.sha256) == ("data.jsonl", hashlib.sha256(path.read_bytes()).hexdigest())


def test_ids_and_groups_that_are_left_out_come_from_the_line_and_the_passage(tmp_path: Path) -> None:
    flat = {"query": "Who?", "passage": "It was she.", "target": "是她。", "target_language": "zh"}
    path = write(tmp_path / "data.jsonl", flat, flat | {"passage": "it was  SHE."}, flat | {"passage": "Other."})
    first, second, third = read_triplets(path)[0]
    assert [first.id, second.id, third.id] == ["data:1", "data:2", "data:3"]
    assert first.group == second.group != third.group
    assert first.targets == {"zh": "是她。"}


def test_tab_separated_values_are_named_by_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "data.tsv"
    path.write_text(
        "target\tquery\tpassage\ttarget_language\ttarget_query\r\n是她。\tWho?\tIt was she.\tzh\t谁？\r\n",
        encoding="utf-8",
    )
    (triplet,), _ = read_triplets(path)
    assert (triplet.query, triplet.passage, triplet.targets, triplet.target_queries) == (
        "Who?",
        "It was she.",
        {"zh": "是她。"},
        {"zh": "谁？"},
    )


def test_positives_of_flag_embedding_are_the_passage_and_its_translations(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", {"query": "Who?", "pos": ["It was she.", "是她。"], "neg": ["No."]})
    (triplet,), _ = read_triplets(path, target_languages=["zh"])
    assert (triplet.passage, triplet.targets) == ("It was she.", {"zh": "是她。"})
    with pytest.raises(InputError, match="target languages"):
        read_triplets(path)


@pytest.mark.parametrize("rows", [[NESTED, NESTED | {"id": "t2", "targets": {"ar": "لا"}, "target_queries": None}]])
def test_parquet_and_data_sets_read_as_json_lines_do(tmp_path: Path, rows: list[dict[str, object]]) -> None:
    expected, _ = read_triplets(write(tmp_path / "data.jsonl", *rows))
    dataset = Dataset.from_list(rows)
    dataset.to_parquet(str(tmp_path / "data.parquet"))
    assert read_triplets(tmp_path / "data.parquet")[0] == expected
    triplets, source = read_dataset(dataset, name="hub")
    assert triplets == expected
    assert source.name == "hub"


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"passage": "p", "targets": {"zh": "z"}}, "query"),
        ({"query": "q", "targets": {"zh": "z"}}, "passage"),
        ({"query": "q", "passage": "p"}, "target_language"),
        ({"query": "q", "passage": "p", "target": "z"}, "target_language"),
        ({"query": "q", "passage": "p", "targets": {}}, "targets"),
        ({"query": "q", "passage": "p", "targets": {"zh": " "}}, "targets.zh"),
        ({"query": "q", "passage": "p", "targets": {"en": "e"}}, "targets"),
        ({"query": "q", "passage": "p", "targets": {"qqq": "e"}}, "targets"),
        ({"query": "q", "passage": "p", "targets": {"zh": "z"}, "target_queries": {"ar": "a"}}, "target_queries"),
        ({"query": "q", "passage": "p", "targets": {"zh": None}}, "targets"),
    ],
)
def test_a_wrong_row_is_named_with_file_line_and_field(tmp_path: Path, row: dict[str, object], field: str) -> None:
    path = write(tmp_path / "data.jsonl", NESTED, row)
    with pytest.raises(InputError) as caught:
        read_triplets(path)
    assert (caught.value.source, caught.value.line, caught.value.field) == (str(path), 2, field)


def test_ids_must_be_unique_and_files_of_a_known_kind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"duplicate id \(first on line 1\)"):
        read_triplets(write(tmp_path / "data.jsonl", NESTED, NESTED))
    with pytest.raises(InputError, match="unknown file format"):
        read_triplets(tmp_path / "data.csv")
    (tmp_path / "data.tsv").write_text("a\tb\n1\t2\n", encoding="utf-8")
    with pytest.raises(InputError, match="name the columns"):
        read_triplets(tmp_path / "data.tsv")
    (tmp_path / "data.parquet").write_text("no parquet", encoding="utf-8")
    with pytest.raises(InputError, match="not a Parquet file"):
        read_triplets(tmp_path / "data.parquet")


def test_columns_stand_in_the_order_that_the_loss_takes() -> None:
    both = Triplet("t", "g", "en", "q", "p", {"zh": "z", "ar": "a"}, {"zh": "qz", "ar": "qa"})
    laid = columns([both], ["zh", "ar"], target_queries=True)
    assert list(laid.items()) == [
        ("query", ["q"]),
        ("passage", ["p"]),
        ("target_zh", ["z"]),
        ("target_ar", ["a"]),
        ("query_zh", ["qz"]),
        ("query_ar", ["qa"]),
    ]
    with pytest.raises(InputError, match="no query in language ar"):
        columns([FULL], ["zh", "ar"], target_queries=True)
    with pytest.raises(InputError, match="no target in language th"):
        columns([FULL], ["th"])


def test_one_triplet_per_language_keeps_the_group() -> None:
    first, second = FULL.per_language()
    assert (first.id, first.group, first.targets, first.target_queries) == ("t1:ar", "p1", {"ar": "كانت هي."}, {})
    assert (second.id, second.group, second.target_queries) == ("t1:zh", "p1", {"zh": "谁？"})


def test_ids_of_several_files_become_unique_and_never_take_one_that_is_there() -> None:
    made = [Triplet(name, "g", "en", "q", "p", {"zh": "t"}) for name in ("a", "a~2", "a", "b", "a")]
    assert [triplet.id for triplet in with_unique_ids(made)] == ["a", "a~2", "a~3", "b", "a~4"]


def test_quotes_that_pandas_puts_around_a_cell_with_quotes_are_taken_off(tmp_path: Path) -> None:
    rows = [
        {"query": 'He said "hi"', "passage": '"Yes," he said. "No."', "target": "z", "target_language": "zh"},
        {"query": "plain", "passage": "p", "target": "z", "target_language": "zh"},
    ]
    pandas.DataFrame(rows).to_csv(tmp_path / "data.tsv", sep="\t", index=False)
    assert '""hi""' in (tmp_path / "data.tsv").read_text(encoding="utf-8")
    triplets, _ = read_triplets(tmp_path / "data.tsv")
    assert [(one.query, one.passage) for one in triplets] == [(row["query"], row["passage"]) for row in rows]
    # A file without such quotes stays as it is.
    (tmp_path / "plain.tsv").write_text(
        'query\tpassage\ttarget\ttarget_language\n"A"\t"B" and "C"\tz\tzh\n', encoding="utf-8"
    )
    ((one,), _) = read_triplets(tmp_path / "plain.tsv")
    assert (one.query, one.passage) == ('"A"', '"B" and "C"')


def test_files_without_rows_and_texts_that_are_none_are_told(tmp_path: Path) -> None:
    header = "query\tpassage\ttarget\ttarget_language\n"
    (tmp_path / "data.tsv").write_text(header, encoding="utf-8")
    schema = pyarrow.schema([(name, pyarrow.string()) for name in header.split()])
    parquet.write_table(schema.empty_table(), tmp_path / "data.parquet")
    for name in ("data.tsv", "data.parquet"):
        with pytest.raises(InputError, match="no rows"):
            read_triplets(tmp_path / name)
    raw = pyarrow.array([b"\xff\xfe"]).cast(pyarrow.string(), safe=False)
    parquet.write_table(pyarrow.table({"query": raw}), tmp_path / "data.parquet")
    (tmp_path / "folder.parquet").mkdir()
    for name, message in (
        ("data.parquet", "not UTF-8"),
        ("folder.parquet", "a directory"),
        ("none.parquet", "no such file"),
        (300 * "x" + ".parquet", "File name too long"),
        (300 * "x" + ".jsonl", "File name too long"),
    ):
        with pytest.raises(InputError, match=message):
            read_triplets(tmp_path / name)
    path = write(tmp_path / "data.jsonl", {"query": "q", "pos": ["p"]})
    with pytest.raises(InputError, match="cannot be translated"):
        read_pairs(path)

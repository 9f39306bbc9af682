"""Results over time: in the order of their times, with the changes that a paired test supports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from haystack_crossalign.audit.compare import compare_results
from haystack_crossalign.audit.over_time.history import read_history
from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.errors import InputError


def test_results_come_in_the_order_of_their_times(write_result: Any, tmp_path: Path) -> None:
    write_result("b", {"zh": [0.5] * 8}, stamp="2026-11-02T00:00:00Z")
    write_result("a", {"zh": [0.5] * 8}, stamp="2026-11-03T00:00:00Z")
    write_result("c", {"zh": [0.5] * 8}, written=1_793_491_200)
    history = read_history([tmp_path / "runs"])
    # date -u -d @1793491200: 2026-11-01.
    assert [(Path(result["file"]).stem, result["time"], result["stamped"]) for result in history["results"]] == [
        ("c", "2026-11-01T00:00:00Z", False),
        ("b", "2026-11-02T00:00:00Z", True),
        ("a", "2026-11-03T00:00:00Z", True),
    ]


def test_a_change_is_judged_as_in_a_comparison_of_the_two(write_result: Any, tmp_path: Path) -> None:
    steps = [
        {"zh": [0.1 * (place % 7) for place in range(40)], "en": [0.5] * 40},
        {"zh": [0.1 * ((place * place) % 9) for place in range(40)], "en": [0.5] * 39 + [0.1]},
        {"zh": [0.9] * 40, "en": [0.8] * 40},
    ]
    files = [
        write_result(f"{number}", values, stamp=f"2026-11-0{number + 1}T00:00:00Z")
        for number, values in enumerate(steps)
    ]
    results = [AuditResult.load(file) for file in files]
    history = read_history([str(tmp_path / "runs")], seed=3)
    for series in history["series"]:
        for number, point in enumerate(series["points"]):
            if number == 0:
                assert point["change"] is None
                continue
            rows = compare_results(results[number - 1], results[number], seed=3).to_dict()["rows"]
            (row,) = [row for row in rows if row["query_language"] == series["query_language"]]
            expected = row["measures"]["NDCG@10"]
            assert point["change"]["difference"] == pytest.approx(expected["difference"])
            # The two draw other random signs: at p = 0.5 the spread of 10,000 of them is 0.005.
            assert point["change"]["p"] == pytest.approx(expected["p"], abs=0.025)
            assert (point["change"]["p_holm"] < 0.05) is (expected["p_holm"] < 0.05)


def test_other_queries_are_not_tested_and_a_missing_row_breaks_the_line(write_result: Any, tmp_path: Path) -> None:
    write_result("1", {"zh": [0.5] * 8, "en": [0.5] * 8}, stamp="2026-11-01T00:00:00Z")
    write_result("2", {"zh": [0.9] * 8}, stamp="2026-11-02T00:00:00Z", prefix="new")
    write_result("3", {"zh": [0.9] * 7, "en": [0.1] * 8}, stamp="2026-11-03T00:00:00Z", prefix="new")
    chinese, english = read_history([tmp_path / "runs"])["series"]
    assert [point["change"] for point in chinese["points"]][1] == {"p": None, "reason": "no query in common"}
    assert chinese["points"][2]["change"]["queries"] == 7
    assert [point["result"] for point in english["points"]] == [0, 2]
    assert english["points"][1]["change"] is None


def test_what_is_no_result_is_left_out_of_a_folder_and_refused_by_name(write_result: Any, tmp_path: Path) -> None:
    write_result("1", {"zh": [0.5] * 3})
    other = tmp_path / "runs" / "settings.json"
    other.write_text('{"color": "blue"}', encoding="utf-8")
    (tmp_path / "runs" / "broken.json").write_text("{", encoding="utf-8")
    (tmp_path / "runs" / "1.times.json").write_text('{"schema": "crossalign.times/1"}', encoding="utf-8")
    history = read_history([tmp_path / "runs"])
    assert len(history["results"]) == 1
    assert [Path(file).name for file in history["left_out"]] == ["broken.json", "settings.json"]
    with pytest.raises(InputError, match="not an audit result"):
        read_history([other])
    with pytest.raises(InputError, match="no such file or folder"):
        read_history([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no audit result"):
        read_history([tmp_path / "empty"])


def test_measures_that_no_result_has_are_refused_by_name(write_result: Any, tmp_path: Path) -> None:
    write_result("1", {"zh": [0.5] * 3})
    for wrong, seen in ((["MRR"], "'MRR'"), (["NDCG@10", "Recall@3", "MRR"], "'Recall@3, MRR'")):
        with pytest.raises(InputError, match=f"no result has these measures; seen: {seen}; allowed: NDCG@10$"):
            read_history([tmp_path / "runs"], measures=wrong)
    with pytest.raises(InputError, match="--measures: no measure"):
        read_history([tmp_path / "runs"], measures=[])
    # One that some results lack is shown where it is.
    write_result("2", {"zh": [0.5] * 3}, measure="MRR")
    both = read_history([tmp_path / "runs"], measures=["NDCG@10", "MRR"])
    assert (both["measures"], len(both["series"])) == (["NDCG@10", "MRR"], 2)
    with pytest.raises(InputError, match=r"allowed: MRR, NDCG@10$"):
        read_history([tmp_path / "runs"], measures=["Recall@3"])


def test_a_query_with_another_text_in_the_next_result_is_refused(write_result: Any, tmp_path: Path) -> None:
    paths = [write_result(f"{day}", {"zh": [0.5] * 3}, stamp=f"2026-11-0{day}") for day in (1, 2, 3)]

    def ask(path: Path, texts: list[str] | None) -> None:
        data = json.loads(path.read_text(encoding="utf-8"))
        data["queries"] = {name: column for name, column in data["queries"].items() if name != "text"}
        result = {**data, "queries": data["queries"] | ({} if texts is None else {"text": texts})}
        path.write_text(AuditResult(**{key: value for key, value in result.items() if key != "schema"}).to_json())

    ask(paths[1], ["?", "another", "?"])
    with pytest.raises(InputError, match="the query 'q1' has another text in each result") as caught:
        read_history([tmp_path / "runs"])
    assert "1.json" in str(caught.value)
    assert "2.json" in str(caught.value)
    assert "seen: ['?', 'another']" in str(caught.value)
    # A result without texts cannot be checked, and is compared as in a comparison of two.
    ask(paths[1], None)
    assert len(read_history([tmp_path / "runs"])["results"]) == 3
    ask(paths[1], ["?", "?"])
    with pytest.raises(InputError, match="columns differ in length"):
        read_history([tmp_path / "runs"])


@pytest.mark.parametrize(
    ("field", "value"), [("rows", [{}]), ("queries", {"row": [0]}), ("provenance", {"stamp": "noon"}), ("rows", None)]
)
def test_a_damaged_result_is_refused_in_one_line(write_result: Any, field: str, value: object) -> None:
    path = write_result("1", {"zh": [0.5] * 3})
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**data, field: value}), encoding="utf-8")
    with pytest.raises(InputError, match="not an audit result") as caught:
        read_history([path.parent])
    assert "1.json" in str(caught.value)


@pytest.mark.parametrize("value", [None, True, "0.5", {}, [0.5], 1e300, float("nan")])
@pytest.mark.parametrize("place", ["interval", "column", "value", "tie", "language"])
def test_a_wrong_type_anywhere_is_refused_or_harmless(write_result: Any, place: str, value: object) -> None:
    path = write_result("1", {"zh": [0.5] * 3})
    data = json.loads(path.read_text(encoding="utf-8"))
    row = data["rows"][0]
    row["ties"]["NDCG@10"] = {"optimistic": 0.6, "pessimistic": 0.4}
    holder, key = {
        "interval": (row["intervals"]["NDCG@10"], 1),
        "column": (data["queries"]["measures"], "NDCG@10"),
        "value": (row["measures"], "NDCG@10"),
        "tie": (row["ties"]["NDCG@10"], "optimistic"),
        "language": (row, "query_language"),
    }[place]
    holder[key] = value
    path.write_text(json.dumps(data), encoding="utf-8")
    if value is None and place in ("interval", "value", "tie"):
        assert read_history([path.parent])["series"]
        return
    if place == "language" and isinstance(value, str):
        return
    with pytest.raises(InputError, match="not an audit result"):
        read_history([path.parent])


def test_the_layout_of_the_file_does_not_matter(write_result: Any, tmp_path: Path) -> None:
    path = write_result("1", {"zh": [0.5, 0.25, 0.125]}, stamp="2026-11-01T00:00:00Z")
    read = read_history([tmp_path / "runs"])
    data = json.loads(path.read_text(encoding="utf-8"))
    for text in (json.dumps(data), json.dumps(data, indent=2), json.dumps(dict(reversed(data.items())))):
        path.write_text(text, encoding="utf-8")
        assert read_history([tmp_path / "runs"]) == read
    live = {**data, "live": {"index": "help"}}
    path.write_text(AuditResult(**{key: value for key, value in live.items() if key != "schema"}).to_json())
    assert read_history([tmp_path / "runs"])["results"][0]["index"] == "help"

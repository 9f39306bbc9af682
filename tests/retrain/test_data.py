"""The data of the retraining job: triplets of documents and of an index, filters, mining."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from haystack_crossalign.data.formats.jsonl import DocumentRow
from haystack_crossalign.data.triplets import Triplet
from haystack_crossalign.errors import InputError
from haystack_crossalign.repair.texts import RepairTexts
from haystack_crossalign.retrain.config import IndexSource, Mine, read_job
from haystack_crossalign.retrain.data import (
    Groups,
    check_groups,
    filter_triplets,
    mined_triplets,
    triplets_from_documents,
)
from haystack_crossalign.retrain.index import read_index
from haystack_crossalign.retrain.run import run_job


def test_documents_give_triplets_asked_by_title_or_first_sentence() -> None:
    english = "The bridge over the river was opened in 1894. It carried the railway until the war destroyed it."
    spanish = "El puente sobre el río fue inaugurado en 1894. Llevó el ferrocarril hasta que la guerra lo destruyó."
    passages = (
        DocumentRow("1", "a", "en", english, "The bridge"),
        DocumentRow("2", "a", "es", spanish),
        DocumentRow("3", "b", "en", english),
        DocumentRow("4", "c", "es", spanish),
    )
    built = triplets_from_documents(RepairTexts(passages, (), ()), "en", ())
    (made,) = built.triplets
    assert (made.group, made.query, made.passage) == ("a", "The bridge", english)
    assert made.target_queries["es"] == "El puente sobre el río fue inaugurado en 1894."
    assert made.targets["es"] == "Llevó el ferrocarril hasta que la guerra lo destruyó."
    none = triplets_from_documents(RepairTexts(passages, (), ()), "en", ("zh",))
    assert none.triplets == ()
    assert none.left_out["groups that lack a language"] == len({one.group for one in passages})


def test_languages_that_the_detector_does_not_know_are_not_dropped() -> None:
    passage = "The bridge over the river was opened in 1894 and carried the railway."
    nepali = "नदीमाथिको पुल सन् १८९४ मा खोलिएको थियो र त्यसमाथि रेल चल्थ्यो।"
    german = "Die Brücke über den Fluss wurde im Jahr 1894 eröffnet und trug die Eisenbahn."
    serbian = "Most preko reke otvoren je 1894. godine i nosio je železničku prugu sve do rata."
    made = [
        Triplet("kept", "g1", "en", "one", passage, {"ne": nepali}),
        Triplet("latin", "g3", "en", "three", passage.replace("river", "lake"), {"sr-Latn": serbian}),
        Triplet("script", "g4", "en", "four", passage.replace("river", "sea"), {"zh-Hant": german}),
        Triplet("wrong", "g2", "en", "two", passage.replace("bridge", "tunnel"), {"fr": german}),
    ]
    kept, dropped = filter_triplets(made, read_filters(length_ratio=None, near_duplicates=None), [])
    assert ([one.id for one in kept], dropped["language"]) == (["kept", "latin"], 2)


def test_filters_count_what_they_drop_and_keep_the_audit_out_of_training(tmp_path: Path) -> None:
    words = " ".join(f"word{number}" for number in range(10))
    (tmp_path / "audit.jsonl").write_text(json.dumps({"id": "1", "text": f"before {words} after"}) + "\n")
    triplets = [
        Triplet("leaks", "g1", "en", "one", words, {"zh": "x " * 20}),
        Triplet("kept", "g2", "en", "two", "another passage altogether", {"zh": "y " * 9}),
        Triplet("same query 1", "g3", "en", "Introduction", "a third passage", {"zh": "z " * 6}),
        Triplet("same query 2", "g4", "en", "introduction", "a fourth passage", {"zh": "v " * 6}),
    ]
    options = read_filters(language=False)
    kept, dropped = filter_triplets(triplets, options, [tmp_path / "audit.jsonl"])
    assert [one.id for one in kept] == ["kept"]
    assert dropped == {
        "ambiguous query": 2, "length ratio": 0, "near duplicate": 0, "overlap with the evaluation set": 1,
    }  # fmt: skip


def read_filters(**changes: Any) -> Any:
    from haystack_crossalign.retrain.config import Filters

    return Filters(**changes)


class Contents:
    """Vectors of texts ``<language> <number>``: the number's direction, pushed towards the language."""

    def encode_documents(self, texts: list[str], *, progress: Any = None) -> Any:  # noqa: ARG002
        rows = []
        for text in texts:
            tag, number = text.split()[:2]
            row = np.random.default_rng(int(number)).normal(size=32)
            row[0 if tag == "en" else 1] += 20
            rows.append(row)
        return np.asarray(rows, dtype=np.float32)


def test_documents_without_groups_are_mined_for_their_translations() -> None:
    english = [DocumentRow(f"e{n}", f"e{n}", "en", f"en {n} some more words") for n in range(12)]
    chinese = [DocumentRow(f"z{n}", f"z{n}", "zh", f"zh {n} 一二三四") for n in reversed(range(12))]
    texts = RepairTexts((*english, *chinese), (), ())
    found, facts = mined_triplets(texts, "en", (), Mine(margin=1.05), Contents())  # type: ignore[arg-type]
    assert facts["counts"]["pairs en-zh"] == 12
    assert {one.group: one.targets["zh"] for one in found} == {f"e{n}": f"zh {n} 一二三四" for n in range(12)}
    with pytest.raises(InputError, match="no document has this language; seen: 'th'"):
        mined_triplets(texts, "en", ("th",), Mine(), Contents())  # type: ignore[arg-type]


def test_an_index_is_read_by_its_groups_or_whole(
    opensearch: Any, indexing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("haystack_crossalign.retrain.index._PAGE", 7)  # several pages, the last one not full
    documents = {}
    for group in range(30):
        for tag in ("en", "zh"):
            fields = {
                "embedding": [1.0, float(group)],
                "language": tag,
                "group": f"g{group}",
                "content": f"{tag} {group}",
            }
            documents[f"{tag}{group}"] = fields
    documents["en0-2"] = {**documents["en0"], "content": "a second chunk"}
    documents["alone"] = {"embedding": [1.0, 1.0], "language": "en", "group": "alone", "content": "alone"}
    documents["empty"] = {"embedding": [1.0, 1.0], "language": "es", "group": "g1", "content": " "}
    indexing.create(opensearch, "job-index", documents, indexing.mapping(2))
    source = IndexSource(index="job-index", hosts=(opensearch.url,), group_field="group", limit=100)
    try:
        texts, facts = read_index(source, tmp_path, {}, mined=False, seed=0)
        assert len(texts.passages) == 60
        assert {one.group for one in texts.passages} == {f"g{group}" for group in range(30)}
        assert next(one.text for one in texts.passages if one.id == "zh7") == "zh 7"
        assert (facts["further_chunks"], facts["without_text"]) == (1, 1)
        some, _ = read_index(
            IndexSource(index="job-index", hosts=(opensearch.url,), group_field="group", limit=7),
            tmp_path, {}, mined=False, seed=0,
        )  # fmt: skip
        assert len({one.group for one in some.passages}) == 7
        whole, facts = read_index(source, tmp_path, {}, mined=True, seed=0)
        # Every document for itself: no group is read.
        assert (
            {one.group for one in whole.passages} == {one.id for one in whole.passages} == documents.keys() - {"empty"}
        )
        again, _ = read_index(source, tmp_path, {}, mined=True, seed=0)
        assert again.sources == whole.sources
    finally:
        opensearch.request("DELETE", "/job-index")


def test_a_job_refuses_an_index_that_numbers_its_groups_as_its_file_does(
    opensearch: Any, indexing: Any, tmp_path: Path, tiny_model_folder: Path
) -> None:
    documents = {
        tag: {"embedding": [1.0, 1.0], "language": tag, "group": "7", "content": f"{tag} of the index"}
        for tag in ("en", "zh")
    }
    lines = [
        json.dumps({"id": tag, "parallel_id": "7", "language": tag, "text": f"{tag} of the file"})
        for tag in ("en", "zh")
    ]
    (tmp_path / "file.jsonl").write_text("\n".join(lines), encoding="utf-8")
    index = {"index": "job-index", "hosts": [opensearch.url], "group_field": "group"}
    values = {"name": "m", "models": "models", "method": "repair", "model": str(tiny_model_folder)}
    values |= {"source": {"files": [{"path": "file.jsonl"}], "index": index}}
    (tmp_path / "job.yaml").write_text(json.dumps(values), encoding="utf-8")
    indexing.create(opensearch, "job-index", documents, indexing.mapping(2))
    try:
        with pytest.raises(InputError, match=r"index job-index, field 'group': .* in file\.jsonl; seen: '7'"):
            run_job(read_job(tmp_path / "job.yaml"), environ={})
    finally:
        opensearch.request("DELETE", "/job-index")


def test_an_index_that_numbers_its_groups_as_a_file_does_is_refused() -> None:
    known: Groups = {}
    check_groups(
        [DocumentRow("1", "7", "en", "about cats"), DocumentRow("2", "7", "zh", "猫")],
        "/a/file.jsonl",
        "parallel_id",
        known,
    )
    check_groups(
        [DocumentRow("x", "7", "ar", "قطط"), DocumentRow("y", "7", "en", "about cats")], "index prod", "group", known
    )
    with pytest.raises(InputError, match=r"index prod, field 'group': .* another text in zh in file\.jsonl; seen: '7'"):
        check_groups([DocumentRow("z", "7", "zh", "税法")], "index prod", "group", known)

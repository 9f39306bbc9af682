from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from haystack_crossalign.data.triplets import Triplet
from haystack_crossalign.training.recipe.recipe import make_recipe
from haystack_crossalign.training.train_data import read_train_data
from haystack_crossalign.triplets.sentences import aligned_sentences

ENGLISH = (
    "The old harbour of the town was built in 1850.",
    "It is deep enough for large ships.",
    "Every summer a fair is held there.",
    "Then the streets are full of people.",
)
CHINESE = (
    "这个城市的老港口建于1850年的夏天。",
    "那里水深足够大型船只停泊。",
    "每年夏天都会举办集市活动。",
    "那时街道上到处都是人群。",
)
SPANISH = (
    "El antiguo puerto de la ciudad fue construido en 1850.",
    "Es bastante profundo para grandes barcos.",
    "Cada verano se celebra allí una feria.",
    "Entonces las calles están llenas de gente.",
)
PAIRS = dict(zip(ENGLISH, CHINESE, strict=True))


def triplet(name: str = "town#1", **targets: str) -> Triplet:
    targets = targets or {"zh": "".join(CHINESE)}
    return Triplet(name, f"{name}#g", "en", f"what is {name}", " ".join(ENGLISH), targets, {"zh": "什么"})


def test_every_sentence_is_translated_by_its_counterpart() -> None:
    (first, second) = aligned_sentences([triplet()]).triplets
    for one, start in ((first, 0), (second, 2)):
        assert {one.query, one.passage} == set(ENGLISH[start : start + 2])
        assert one.target_queries == {"zh": PAIRS[one.query]}
        assert one.targets == {"zh": PAIRS[one.passage]}
        assert one.group == "town#1#g"  # never beside another part of the passage in one batch
    assert first.id != second.id
    assert all(one.id.startswith("town#1/sentence-") for one in (first, second))


def test_blocks_and_queries_are_those_of_corpora_of_sentences() -> None:
    made = aligned_sentences([triplet()], block=4, queries_per_block=4).triplets
    assert [one.query for one in made] == list(ENGLISH)
    assert made[0].passage == " ".join(ENGLISH[1:])
    assert made[0].targets["zh"] == "".join(CHINESE[1:])


def test_versions_with_other_sentences_are_left_out_and_the_others_kept() -> None:
    spanish = " ".join(SPANISH)
    short = "".join(CHINESE[:3])
    built = aligned_sentences([triplet(zh=short, es=spanish), triplet("other", zh="".join(CHINESE), es=spanish)])
    assert built.left_out["versions without corresponding sentences"] == 1
    assert [sorted(one.targets) for one in built.triplets] == [["es"], ["es"], ["es", "zh"], ["es", "zh"]]
    assert aligned_sentences([triplet(zh=short)]).triplets == ()
    # As many, but one takes in what its neighbour says.
    moved = "".join((CHINESE[0][:9] + "。", CHINESE[1][:-1] + "，" + CHINESE[0], *CHINESE[2:]))
    assert aligned_sentences([triplet(zh=moved)]).triplets == ()


def test_a_passage_is_taken_apart_once_and_alone_when_it_has_one_sentence() -> None:
    again = replace(triplet(), id="b", query="another question")
    assert aligned_sentences([triplet(), again]).triplets == aligned_sentences([triplet()]).triplets
    alone = replace(triplet(), passage=ENGLISH[0], targets={"zh": CHINESE[0]})
    assert aligned_sentences([alone]).triplets == ()


def test_a_row_for_each_language_gives_what_one_row_for_all_gives() -> None:
    together = triplet(zh="".join(CHINESE), es=" ".join(SPANISH))
    flat = [replace(together, id=f"row {tag}", targets={tag: text}) for tag, text in together.targets.items()]
    made, expected = aligned_sentences(flat).triplets, aligned_sentences([together]).triplets
    assert [(one.query, one.targets, one.target_queries) for one in made] == [
        (one.query, one.targets, one.target_queries) for one in expected
    ]
    assert set(made[0].targets) == {"zh", "es"}


def test_a_passage_without_a_letter_has_no_sentence() -> None:
    rule = replace(triplet(zh="---"), passage="---")
    assert len(aligned_sentences([rule, triplet()]).triplets) == 2


def test_a_recipe_takes_them_in_place_of_the_triplets_of_a_file(tmp_path: Path) -> None:
    made = [triplet(name) for name in ("alpha", "beta", "gamma", "delta")]
    lines = [
        json.dumps(
            {
                "id": one.id,
                "query": one.query,
                "passage": one.passage.replace("town", one.id),
                "targets": {tag: text.replace("城市", one.id) for tag, text in one.targets.items()},
            }
        )
        for one in made
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    values = {
        "model": "m",
        "languages": ["zh"],
        "held_out": {"share": 0},
        "distil": {"anchor_weight": 1},
        "data": [{"path": "t.jsonl", "aligned_sentences": True, "block": 4, "queries_per_block": 2}],
    }
    data = read_train_data(make_recipe(values, folder=tmp_path))
    assert len(data.train) == 8
    assert all(one.target_queries for one in data.train)
    assert data.sources[0].triplets == 8
    values["data"] = [{"path": "t.jsonl", "aligned_sentences": True, "block": 3}]
    (source,) = read_train_data(make_recipe(values, folder=tmp_path)).sources
    assert (source.triplets, source.left_out) == (4, {"sentences alone at the end of a document": 4})


@pytest.mark.parametrize("language", ["zh", "es"])
def test_sentences_of_human_translations_find_their_own(shared_data: Path, language: str) -> None:
    """Passages put together from parallel sentences: a pair is right where both begin in one of them."""
    documents: dict[str, list[dict[str, str]]] = {}
    with (shared_data / "train" / "ntrex_16lang.jsonl").open(encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            documents.setdefault(record["doc"], []).append(record)
    joiner = "" if language == "zh" else " "
    triplets, parts = [], {}
    for document, records in documents.items():
        for start in range(0, len(records) - 4, 5):
            name = f"{document}.{start}"
            parts[name] = records[start : start + 5]
            own, other = (
                between.join(one[tag].strip() for one in parts[name])
                for tag, between in (("en", " "), (language, joiner))
            )
            triplets.append(Triplet(name, document, "en", "what happened", own, {language: other}))
    made = aligned_sentences(triplets).triplets
    assert len(made) > 200
    right = [
        any(one.query[:20] in part["en"] and one.target_queries[language][:6] in part[language] for part in parts[name])
        for one in made
        for name in [one.id.partition("/")[0]]
    ]
    assert sum(right) / len(right) > 0.95

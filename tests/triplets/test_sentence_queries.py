from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from haystack_crossalign.data.triplets import Triplet
from haystack_crossalign.training.recipe.recipe import make_recipe
from haystack_crossalign.training.train_data import read_train_data
from haystack_crossalign.triplets.sentences import sentence_queries

PASSAGE = (
    "The old harbour of the town was built in 1850. It is deep enough for large ships. "
    "Every summer a fair is held there. Then the streets are full of people."
)
CHINESE = (
    "这个城市的老港口建于1850年。那里水深足够大型船只停泊。每年夏天都会在那里举办集市活动。那时街道上到处都是人群。"
)


def triplet(name: str, passage: str = PASSAGE, target: str = CHINESE) -> Triplet:
    return Triplet(name, name, "en", "what is there", passage, {"zh": target}, {})


def test_each_language_asks_with_a_sentence_from_the_same_place_of_its_own_version() -> None:
    made = sentence_queries([triplet("a")], 4)
    assert [one.query for one in made] == [
        "The old harbour of the town was built in 1850.",
        "It is deep enough for large ships.",
        "Every summer a fair is held there.",
        "Then the streets are full of people.",
    ]
    assert [one.target_queries["zh"] for one in made] == [f"{part}。" for part in CHINESE.split("。")[:-1]]
    assert {one.group for one in made} == {"a"}
    assert {one.passage for one in made} == {PASSAGE}
    assert len({one.id for one in made}) == 4


def test_a_passage_gives_its_sentences_once_and_whatever_else_there_is() -> None:
    alone = sentence_queries([triplet("a")], 2)
    assert len(alone) == 2
    other = triplet("b", PASSAGE.replace("harbour", "market"))
    assert sentence_queries([other, triplet("a"), triplet("a")], 2)[2:] == alone


def test_a_row_for_each_language_gives_what_one_row_for_all_gives() -> None:
    together = replace(triplet("a"), targets={"zh": CHINESE, "es": PASSAGE.replace("harbour", "puerto")})
    flat = [
        replace(together, id=f"a{tag}", query=f"query {tag}", targets={tag: text})
        for tag, text in together.targets.items()
    ]
    made, expected = sentence_queries(flat, 2), sentence_queries([together], 2)
    assert [(one.query, one.targets, one.target_queries) for one in made] == [
        (one.query, one.targets, one.target_queries) for one in expected
    ]
    assert set(made[0].target_queries) == {"zh", "es"}


def test_passages_of_one_sentence_in_any_language_give_none() -> None:
    assert sentence_queries([triplet("a", "Only one sentence stands in here.")], 2) == ()
    assert sentence_queries([triplet("a", target="这里只有一个句子而已。")], 2) == ()


def test_a_recipe_takes_them_beside_the_triplets_of_a_file(tmp_path: Path) -> None:
    lines = [
        f'{{"id": "{name}", "query": "which one is {name}", "passage": "{PASSAGE.replace("town", name)}", '
        f'"targets": {{"zh": "{CHINESE.replace("城市", name)}"}}}}'
        for name in ("alpha", "beta", "gamma", "delta")
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def read(count: int) -> tuple[Triplet, ...]:
        recipe = make_recipe(
            {
                "model": "m",
                "languages": ["zh"],
                "data": [{"path": "t.jsonl", "sentence_queries": count}],
                "held_out": {"share": 0},
            },
            folder=tmp_path,
        )
        return read_train_data(recipe).train

    assert len(read(0)) == 4
    assert len(read(2)) == 12
    assert sum(bool(one.target_queries) for one in read(2)) == 8


@pytest.mark.parametrize("count", [-1, 1.5])
def test_the_number_is_a_whole_one(count: float) -> None:
    with pytest.raises(Exception, match="sentence_queries"):
        make_recipe({"model": "m", "languages": ["zh"], "data": [{"path": "t.jsonl", "sentence_queries": count}]})

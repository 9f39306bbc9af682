from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from published_corpora import write_ntrex
from training_runs import made_triplets

from haystack_crossalign.data.triplets import Triplet, normalized, turned
from haystack_crossalign.errors import InputError
from haystack_crossalign.training.recipe.recipe import make_recipe, read_recipe
from haystack_crossalign.training.recipe.sections import HeldOutPart
from haystack_crossalign.training.train_data import read_train_data, split_triplets


def texts_of(triplet: Triplet) -> set[str]:
    texts = (triplet.passage, *triplet.targets.values(), triplet.query, *triplet.target_queries.values())
    return {normalized(text) for text in texts}


def write(path: Path, triplets: list[Triplet]) -> Path:
    rows = [
        {
            "id": one.id,
            "group": one.group,
            "query": one.query,
            "passage": one.passage,
            "targets": dict(one.targets),
            "target_queries": dict(one.target_queries),
        }
        for one in triplets
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_no_text_and_no_group_stands_in_both_parts() -> None:
    triplets = made_triplets(60)
    # Chains: 0 shares its passage with 1, 1 its query with 2, 2 its group with 3.
    triplets[1] = replace(triplets[1], passage=triplets[0].passage.upper())
    triplets[2] = replace(triplets[2], query=triplets[1].query)
    triplets[3] = replace(triplets[3], group=triplets[2].group)
    for seed in range(5):
        held_out, apart = split_triplets(triplets, HeldOutPart(share=0.3), seed=seed)
        left = [triplet for triplet in triplets if triplet.id not in apart]
        assert len(held_out) + len(left) == 60
        assert 16 <= len(held_out) <= 27
        assert not set().union(*map(texts_of, held_out)) & set().union(*map(texts_of, left))
        chained = {"t0", "t1", "t2", "t3"} & apart
        assert chained in ({"t0", "t1", "t2", "t3"}, set())


def test_a_corpus_gives_triplets_of_a_pair_without_english(tmp_path: Path) -> None:
    """Of an English query with passage and targets, the target is the passage and English a target."""
    lines = [f"{{}} sentence {number} ." for number in range(16)]
    write_ntrex(
        tmp_path, {code: [line.format(code) for line in lines] for code in ("deu", "vie")},
        english=[line.format("eng") for line in lines], documents=[name for name in "abcd" for _ in range(4)],
    )  # fmt: skip
    recipe = make_recipe(
        {"model": "m", "language": "de", "languages": ["vi"], "held_out": {"share": 0.5},
         "data": [{"format": "ntrex", "path": str(tmp_path / "NTREX")}]},
    )  # fmt: skip
    data = read_train_data(recipe)
    triplets = (*data.train, *data.held_out)
    assert len(triplets) == 4
    for triplet in triplets:
        assert triplet.language == "de"
        assert triplet.query.startswith("deu sentence")
        assert triplet.passage.count("deu sentence") == 3
        assert {tag: text.split()[0] for tag, text in triplet.targets.items()} == {"vi": "vie"}
        assert triplet.target_queries["vi"].removeprefix("vie") == triplet.query.removeprefix("deu")


def test_turned_triplets_hold_the_same_texts() -> None:
    triplet = Triplet("a", "g", "en", "q en", "p en", {"de": "p de", "vi": "p vi"}, {"de": "q de"})
    assert turned([triplet], "de") == (
        Triplet("a", "g", "de", "q de", "p de", {"vi": "p vi", "en": "p en"}, {"en": "q en"}),
    )
    assert turned([triplet], "vi") == ()  # there is no Vietnamese query
    assert turned([triplet], "en") == (triplet,)


def test_the_seed_fixes_the_split() -> None:
    triplets = made_triplets(60)
    parts = [split_triplets(triplets, HeldOutPart(share=0.2), seed=seed)[1] for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]


def test_articles_stay_whole() -> None:
    triplets = [replace(one, group=f"article {number // 5}#{number}") for number, one in enumerate(made_triplets(50))]
    _, apart = split_triplets(triplets, HeldOutPart(share=0.2, by="article"), seed=0)
    per_article = Counter(one.group.partition("#")[0] for one in triplets if one.id in apart)
    assert sum(per_article.values()) == 10
    assert set(per_article.values()) == {5}


def test_groups_that_look_like_one_article_do_not_leave_a_run_without_a_held_out_part(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [replace(one, group=f"product:{one.id}") for one in made_triplets(50)])
    values = {"model": "m", "languages": ["zh"], "data": [{"path": "a.jsonl"}], "held_out": {"by": "article"}}
    with pytest.raises(InputError, match=r"'held_out\.by': nothing can be held out.*article; the first.*product:t0"):
        read_train_data(make_recipe(values, folder=tmp_path))
    for held_out, count in (({"by": "group"}, 5), ({"by": "article", "share": 0}, 0)):
        data = read_train_data(make_recipe(values | {"held_out": held_out}, folder=tmp_path))
        assert len(data.held_out) == count


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("held_out: {by: article}", r"recipe\.yaml, line 4, field 'held_out\.by': nothing can be held out"),
        ("held_out: {path: a.jsonl}", r"line 4, field 'held_out\.path': fewer than two.*their group with"),
        ("held_out: {path: one.jsonl, by: article}", r"'held_out\.by': fewer than two.*their article.*allowed: group"),
        ("data: [{path: one.jsonl}]", r"recipe\.yaml, line 4, field 'data': fewer than two triplets.*seen: 1"),
        ("data: [{path: a.jsonl, weight: 0.001}]", r"line 4, field 'data': fewer than two.*weights of the files"),
        ("held_out: {path: thai.jsonl}", r"recipe\.yaml, line 4, field 'held_out\.path': no triplet.*'thai\.jsonl'"),
        ("data: [{path: thai.jsonl}]", r"recipe\.yaml, line 4, field 'data\.0': no triplet.*'thai\.jsonl'"),
        ("data: [{path: a.jsonl, fit_repair: false}]", r"recipe\.yaml, line 4, field 'data': no passage is left"),
    ],
)
def test_what_only_the_data_show_is_told_with_the_line_of_the_recipe(tmp_path: Path, line: str, message: str) -> None:
    rows = [replace(one, group=f"product:{one.id}") for one in made_triplets(50)]
    write(tmp_path / "a.jsonl", rows)
    write(tmp_path / "thai.jsonl", made_triplets(5, ("th",)))
    write(tmp_path / "one.jsonl", rows[:1])
    lines = ["model: m", "languages: [zh]", "data: [{path: a.jsonl}]", line]
    (tmp_path / "recipe.yaml").write_text(
        "\n".join(lines if line.startswith("held") else [*lines[:2], "start: repair", line])
    )
    with pytest.raises(InputError, match=message):
        read_train_data(read_recipe(tmp_path / "recipe.yaml"))


def test_files_are_mixed_by_weight_with_limits_and_summaries(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", made_triplets(10, seed=1))
    write(tmp_path / "b.jsonl", made_triplets(20, ("zh", "ar"), seed=2))
    values = {
        "model": "m",
        "languages": ["zh", "ar"],
        "held_out": {"share": 0},
        "data": [{"path": "a.jsonl", "weight": 2.5, "licence": "CC0"}, {"path": "b.jsonl", "limit": 6}],
    }
    data = read_train_data(make_recipe(values, folder=tmp_path))
    counts = Counter(one.id for one in data.train)
    first = [counts[f"t{number}"] for number in range(10)]
    # The ids of both files are the same, so the second file's have got numbers.
    assert sorted(Counter(first).items()) == [(2, 5), (3, 5)]
    assert sum(counts.values()) == 25 + 6
    a, b = data.sources
    assert (a.name, a.triplets, a.languages, a.licence) == ("a.jsonl", 10, {"zh": 10}, "CC0")
    assert (b.triplets, b.languages) == (6, {"ar": 6, "zh": 6})
    assert (a.left_out, b.left_out) == ({}, {"above the limit": 14})
    assert read_train_data(make_recipe(values, folder=tmp_path)) == data


def test_a_repair_is_fitted_on_the_files_that_say_so_and_each_triplet_once(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", made_triplets(10, seed=1))
    write(tmp_path / "b.jsonl", made_triplets(20, seed=2))
    files = [{"path": "a.jsonl", "weight": 2.5}, {"path": "b.jsonl", "fit_repair": False}]
    values = {"model": "m", "languages": ["zh"], "start": "repair", "held_out": {"share": 0.2}, "data": files}
    data = read_train_data(make_recipe(values, folder=tmp_path))
    held_out = {one.id for one in data.held_out}
    assert [one.id for one in data.fit] == [f"t{number}" for number in range(10) if f"t{number}" not in held_out]
    assert {one.passage for one in data.fit} < {one.passage for one in data.train}
    files[0]["fit_repair"] = False
    with pytest.raises(InputError, match="fit_repair"):
        read_train_data(make_recipe(values, folder=tmp_path))
    assert read_train_data(make_recipe(values | {"start": "base"}, folder=tmp_path)).fit == ()


def test_languages_and_target_queries_that_are_not_wanted_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / "b.jsonl", made_triplets(20, ("zh", "ar", "th")))
    write(tmp_path / "c.jsonl", made_triplets(20, ("zh", "ar"), seed=1))
    files = [{"path": "b.jsonl", "languages": ["ar"]}, {"path": "c.jsonl"}]
    values = {"model": "m", "languages": ["zh", "ar"], "data": files, "held_out": {"share": 0}}
    data = read_train_data(make_recipe({**values, "target_queries": False}, folder=tmp_path))
    assert [sorted(one.targets) for one in data.train] == 20 * [["ar"]] + 20 * [["ar", "zh"]]
    assert not any(one.target_queries for one in data.train)
    assert [one.left_out for one in data.sources] == [{}, {}]
    thai = [replace(one, id=f"thai {one.id}") for one in made_triplets(6, ("th",), seed=2)]
    write(tmp_path / "d.jsonl", [*thai, *made_triplets(20, ("zh", "ar"))])
    (mixed,) = read_train_data(make_recipe({**values, "data": [{"path": "d.jsonl"}]}, folder=tmp_path)).sources
    assert (mixed.triplets, mixed.left_out) == (20, {"without a wanted language": 6})


def test_a_language_without_data_is_told(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", made_triplets(20, ("zh",)))
    write(tmp_path / "b.jsonl", made_triplets(20, ("zh", "th"), seed=1))
    values = {"model": "m", "languages": ["zh", "th", "es"], "data": [{"path": "a.jsonl"}, {"path": "b.jsonl"}]}
    with pytest.raises(InputError, match=r"'languages'.*train on in a target language; seen: 'es'; allowed: zh, th"):
        read_train_data(make_recipe(values, folder=tmp_path))
    values |= {"languages": ["zh", "th"], "start": "repair"}
    assert read_train_data(make_recipe(values, folder=tmp_path)).fit
    overrides = ["data.1.fit_repair=false"]
    with pytest.raises(InputError, match=r"'languages'.*fit the repair on in a target language; seen: 'th'"):
        read_train_data(make_recipe(values, folder=tmp_path, overrides=overrides))


def test_a_held_out_file_takes_its_texts_out_of_training(tmp_path: Path) -> None:
    triplets = made_triplets(20)
    write(tmp_path / "train.jsonl", triplets)
    write(
        tmp_path / "held.jsonl",
        [
            replace(triplets[3], id="x", group="y"),
            *(replace(one, group=f"other {one.group}") for one in made_triplets(4, seed=9)),
        ],
    )
    values = {
        "model": "m",
        "languages": ["zh"],
        "data": [{"path": "train.jsonl"}],
        "held_out": {"path": "held.jsonl"},
    }
    data = read_train_data(make_recipe(values, folder=tmp_path))
    assert len(data.held_out) == 5
    assert {one.id for one in triplets} - {one.id for one in data.train} == {"t3"}


def test_ids_of_the_drop_list_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", made_triplets(10))
    (tmp_path / "drop.json").write_text('["t1", "t4"]', encoding="utf-8")
    values = {"model": "m", "languages": ["zh"], "held_out": {"share": 0}}
    data = read_train_data(make_recipe({**values, "data": [{"path": "a.jsonl", "drop": "drop.json"}]}, folder=tmp_path))
    assert {f"t{number}" for number in range(10)} - {one.id for one in data.train} == {"t1", "t4"}
    assert data.sources[0].left_out == {"on the drop list": 2}


def test_a_corpus_is_found_by_its_name_in_the_folder_of_the_corpora(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = (5, 4, 6, 5)
    names = [f"news.{number}" for number, size in enumerate(sizes) for _ in range(size)]
    english = [f"Line {number} says something." for number in range(len(names))]
    spanish = [f"La línea {number} dice algo." for number in range(len(names))]
    write_ntrex(tmp_path / "data", {"spa": spanish}, english=english, documents=names)
    (tmp_path / "recipe.yaml").write_text("model: m\nlanguages: [es]\ndata:\n  - corpus: ntrex\n", encoding="utf-8")
    monkeypatch.delenv("CROSSALIGN_DATA", raising=False)
    with pytest.raises(InputError, match=r"CROSSALIGN_DATA.*github\.com/MicrosoftTranslator/NTREX"):
        read_train_data(read_recipe(tmp_path / "recipe.yaml"))
    data = read_train_data(read_recipe(tmp_path / "recipe.yaml", corpora=tmp_path / "data"))
    monkeypatch.setenv("CROSSALIGN_DATA", str(tmp_path / "data"))
    assert read_train_data(read_recipe(tmp_path / "recipe.yaml")) == data
    assert (data.sources[0].name, data.sources[0].format) == ("NTREX-128", "ntrex")
    translations = dict(zip(english, spanish, strict=True))
    assert all(one.target_queries == {"es": translations[one.query]} for one in (*data.train, *data.held_out))


def test_formats_of_corpora_are_read_by_their_names(shared_data: Path) -> None:
    values = {
        "model": "m",
        "languages": ["zh", "th"],
        "data": [
            {"path": "train/ntrex_16lang.jsonl", "format": "ntrex", "limit": 50},
            {"path": "train/squad_dev_minus_xquad_en_zh_es_vi.jsonl", "format": "squad", "limit": 50},
        ],
    }
    data = read_train_data(make_recipe(values, folder=shared_data))
    assert [source.languages for source in data.sources] == [{"th": 50, "zh": 50}, {"zh": 50}]
    assert data.sources[0].target_queries == {"th": 50, "zh": 50}
    assert data.sources[0].left_out.keys() == {"sentences alone at the end of a document", "above the limit"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"languages": []}, "languages"),
        ({"languages": ["th"]}, "wanted target language"),
        ({"data": []}, "no training data"),
        ({"data": [{"path": "missing.jsonl"}]}, "no such file"),
    ],
)
def test_data_that_cannot_be_trained_on_is_told(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    write(tmp_path / "a.jsonl", made_triplets(10))
    values = {"model": "m", "languages": ["zh"], "data": [{"path": "a.jsonl"}], **changes}
    with pytest.raises(InputError, match=message):
        read_train_data(make_recipe(values, folder=tmp_path))


def test_a_limit_draws_from_as_many_passages_as_there_are(tmp_path: Path) -> None:
    # Five questions of each of twelve passages, as in SQuAD.
    rows = [
        replace(one, id=f"q{number}", query=f"question {number}")
        for number in range(60)
        for one in [made_triplets(12)[number % 12]]
    ]
    write(tmp_path / "a.jsonl", rows)

    def drawn(limit: int, seed: int = 0) -> list[Triplet]:
        values = {"model": "m", "languages": ["zh"], "held_out": {"share": 0}, "seed": seed}
        recipe = make_recipe(values | {"data": [{"path": "a.jsonl", "limit": limit}]}, folder=tmp_path)
        return list(read_train_data(recipe).train)

    assert sorted(Counter(one.passage for one in drawn(12)).values()) == [1] * 12
    assert sorted(Counter(one.passage for one in drawn(30)).values()) == [2] * 6 + [3] * 6
    assert drawn(12) == drawn(12)
    assert drawn(12) != drawn(12, seed=1)
    assert [one.id for one in drawn(30)] == sorted((one.id for one in drawn(30)), key=lambda name: int(name[1:]))


def test_rows_of_one_language_each_are_laid_together_for_batches_of_all(tmp_path: Path) -> None:
    together = made_triplets(12, ("zh", "ar"))
    flat = [
        replace(
            one, id=f"{one.id} {tag}", targets={tag: one.targets[tag]},
            target_queries={other: text for other, text in one.target_queries.items() if other == tag},
        )
        for one in together
        for tag in one.targets
    ]  # fmt: skip
    flat.append(replace(flat[0], id="more", group="alone", query="w1 w2", passage="w3 w4"))
    write(tmp_path / "a.jsonl", flat)
    values = {
        "model": "m",
        "languages": ["zh", "ar"],
        "batch_languages": "all",
        "held_out": {"share": 0},
        "data": [{"path": "a.jsonl"}],
    }
    data = read_train_data(make_recipe(values, folder=tmp_path))
    assert [(one.query, one.targets, one.target_queries) for one in data.train] == [
        (one.query, one.targets, one.target_queries) for one in together
    ]
    assert data.sources[0].left_out == {"without all languages": 1}
    # A query in one language of two is used by no row, and no longer counted as one that is.
    partly = [replace(one, target_queries={tag: text for tag, text in one.target_queries.items() if tag == "zh"})
              for one in together]  # fmt: skip
    write(tmp_path / "a.jsonl", partly)
    (source,) = read_train_data(make_recipe(values, folder=tmp_path)).sources
    assert source.target_queries == {}
    assert source.left_out == {"target queries without those of the other languages": 6}
    write(tmp_path / "a.jsonl", [replace(one, targets={"zh": one.targets["zh"]}) for one in partly])
    with pytest.raises(InputError, match=r"all wanted target languages.*all of zh, ar; or batch_languages: one"):
        read_train_data(make_recipe(values, folder=tmp_path))


def test_a_held_out_file_that_is_cut_keeps_all_its_languages(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", made_triplets(30, ("zh", "ar"), seed=5))
    arabic = [replace(one, id=f"ar {one.id}", group=f"ar {one.group}") for one in made_triplets(6, ("ar",), seed=7)]
    write(tmp_path / "held.jsonl", [*made_triplets(40, seed=6), *arabic])
    values = {"model": "m", "languages": ["zh", "ar"], "data": [{"path": "a.jsonl"}],
              "held_out": {"path": "held.jsonl", "limit": 10}}  # fmt: skip
    held_out = read_train_data(make_recipe(values, folder=tmp_path)).held_out
    assert Counter(tag for one in held_out for tag in one.targets) == {"zh": 5, "ar": 5}
    assert read_train_data(make_recipe(values, folder=tmp_path)).held_out == held_out

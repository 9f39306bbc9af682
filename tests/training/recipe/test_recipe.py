from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.training.recipe import sections as recipe_parts
from haystack_crossalign.training.recipe.recipe import Recipe, make_recipe, read_recipe
from haystack_crossalign.triplets.corpora import CORPORA

TEXT = """\
model: some/model
languages: [zh, TH]
start: repair
data:
  - path: data/a.jsonl
    licence: CC0
  - {path: b.tsv, weight: 0.5, limit: 10}
optimiser:
  learning_rate: 2e-5
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_a_recipe_is_read_with_defaults_for_what_it_leaves_out(recipe_file: Path) -> None:
    recipe = read_recipe(recipe_file)
    assert recipe.model.name == "some/model"
    assert recipe.languages == ("zh", "th")
    assert recipe.start.kind == "repair"
    assert [source.path for source in recipe.data] == ["data/a.jsonl", "b.tsv"]
    assert (recipe.data[1].weight, recipe.data[1].limit, recipe.data[0].licence) == (0.5, 10, "CC0")
    assert recipe.optimiser.learning_rate == 2e-5  # which YAML 1.1 reads as a text
    assert recipe.optimiser.batch_size == 32
    assert recipe.folder == recipe_file.parent


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("optimiser.learning_rate=1e-5", "optimiser.learning_rate", 1e-5),
        ("data.1.limit=null", "data.1.limit", None),
        ("lora.rank=4", "lora.rank", 4),
        ("start.train_dense=false", "start.train_dense", False),
        ("start=base", "start.kind", "base"),
        ("languages=[th]", "languages", ("th",)),
        ("interpolate=auto", "interpolate", "auto"),
        ("model=other", "model.name", "other"),
        ("distil={weight: 0.3, temperature: 0.1}", "distil.weight", 0.3),
    ],
)
def test_every_value_can_be_set_over_the_file(recipe_file: Path, override: str, path: str, value: object) -> None:
    found: object = read_recipe(recipe_file, [override])
    for part in path.split("."):
        found = found[int(part)] if isinstance(found, tuple) else getattr(found, part)
    assert found == value


def test_a_model_beside_the_recipe_is_meant_wherever_the_command_runs(recipe_file: Path) -> None:
    recipe_file.write_text(TEXT.replace("some/model", "mine"), encoding="utf-8")
    assert read_recipe(recipe_file).model.name == "mine"  # of a hub
    folder = recipe_file.parent / "mine"
    folder.mkdir()
    recipe = read_recipe(recipe_file)
    assert recipe.model.name == str(folder.resolve())
    assert recipe.public()["model"]["name"] == "mine"
    assert read_recipe(recipe_file, ["model=./mine"]).model.name == str(folder.resolve())


def test_what_the_teacher_embeds_has_another_length_before_normalization(recipe_file: Path) -> None:
    anchors = ["distil.anchor_weight=1", "distil.anchor_share=0.5", "loss.alignment_weight=1"]
    with pytest.raises(InputError, match=r"'loss\.z_from': passages that the teacher embeds have length 1"):
        read_recipe(recipe_file, anchors)
    for other in ("loss.z_from=after_normalization", "distil.anchor_share=1", "loss.alignment_weight=0"):
        read_recipe(recipe_file, [*anchors, other])


def test_a_share_needs_something_to_be_chosen_on(recipe_file: Path) -> None:
    with pytest.raises(InputError, match=r"'interpolate': a share is chosen on the held-out part, and there is none"):
        read_recipe(recipe_file, ["interpolate=auto", "held_out.share=0"])


def test_an_override_leaves_the_rest_of_a_short_section_alone(recipe_file: Path) -> None:
    assert read_recipe(recipe_file, ["start.train_dense=false"]).start.kind == "repair"


@pytest.mark.parametrize(
    ("before", "after", "line", "field", "allowed"),
    [
        ("licence: CC0", "license: CC0", 6, "data.0.license", "path, corpus, format, languages"),
        ("learning_rate: 2e-5", "learning_rate: fast", 9, "optimiser.learning_rate", "a number, above 0"),
        ("weight: 0.5", "weight: 0", 7, "data.1.weight", "above 0"),
        ("start: repair", "start: repaired", 3, "start.kind", "base, repair"),
        ("languages: [zh, TH]", "languages: [zh, zh]", 2, "languages", "each value once"),
        ("languages: [zh, TH]", "languages: [zh, en]", 2, "languages", "other languages"),
        ("  learning_rate: 2e-5", "  - 2e-5", 8, "optimiser", "learning_rate, weight_decay"),
        ("model: some/model", "loss: {}", None, "model", "name"),
        ("model: some/model", "model: offline:nope", 1, "model.name", "offline:multilingual-e5-small"),
        ("model: some/model", "model: {name: m, query_prefix: [a]}", 1, "model.query_prefix", "a text"),
    ],
)
def test_a_wrong_value_is_told_with_file_line_key_and_what_is_allowed(
    recipe_file: Path, before: str, after: str, line: int | None, field: str, allowed: str
) -> None:
    recipe_file.write_text(TEXT.replace(before, after), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_recipe(recipe_file)
    assert caught.value.source == str(recipe_file)
    if line is not None:
        assert caught.value.line == line
    assert caught.value.field == field
    assert allowed in str(caught.value.allowed)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimiser.speed=1", "unknown key"),
        ("optimizer.learning_rate=1", "unknown key"),
        ("optimiser.batch_size=1.5", "whole number"),
        ("data.2.limit=1", "0 to 1"),
        ("seed", "key=value"),
        ("seed.x=1", "a whole number"),
        ("start={kind: mend}", "not allowed"),
        ("seed=[", "not YAML"),
        ("seed=2001-02-30", "not YAML"),
        pytest.param("optimiser.learning_rate=1" + 400 * "0", "a number, above 0", id="large"),
        ("seed=4294967296", "from 0 to 4294967295"),
        pytest.param("data=" + 2000 * "[", "nested too deeply", id="deep"),
    ],
)
def test_a_wrong_override_is_told_with_the_option(recipe_file: Path, override: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_recipe(recipe_file, [override])
    assert str(caught.value).startswith("--set")


DEEP = "a: " + 3000 * "["
MANY = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join(10 * ['*' + before])}]\n" for before, name in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    "text", ["a: [", "- a\n- b\n", "a: 1\na: 2\n", "? [a]\n: 1\n", "a: 2001-02-30", "a: &a [*a]", DEEP, MANY],
    ids=range(8),
)  # fmt: skip
def test_what_is_no_mapping_of_sections_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"recipe\.yaml"):
        read_recipe(path)


def test_a_missing_file_is_told() -> None:
    with pytest.raises(InputError, match="no such file"):
        read_recipe("nowhere.yaml")


def test_tokens_need_an_encoder_that_is_trained_and_embeds_both_versions(recipe_file: Path) -> None:
    tokens = ["loss.token_weight=0.5", "loss.token_temperature=0.05"]
    assert read_recipe(recipe_file, tokens).loss.token_weight == 0.5
    problem = r"'loss\.token_weight': the tokens of both versions must be embedded in training; seen: 0\.5; allowed: 0,"
    with pytest.raises(InputError, match=problem):
        read_recipe(recipe_file, [*tokens, "freeze_encoder=true", "lora=null"])
    anchors = ["distil.anchor_weight=1", "loss.alignment_weight=0"]
    with pytest.raises(InputError, match=problem):
        read_recipe(recipe_file, [*tokens, *anchors, "distil.anchor_share=0"])
    read_recipe(recipe_file, [*tokens, *anchors, "distil.anchor_share=0.1"])


def test_tokens_alone_are_a_loss() -> None:
    weights = {"alignment_weight": 0, "nce_weight": 0, "token_weight": 1}
    assert make_recipe({"model": "m", "loss": weights}).loss.token_limit == 128


def test_a_loss_without_any_term_is_refused() -> None:
    with pytest.raises(InputError, match="nothing is left to train"):
        make_recipe({"model": "m", "loss": {"alignment_weight": 0, "nce_weight": 0}})


def test_plain_data_of_a_recipe_gives_the_same_recipe(recipe_file: Path) -> None:
    recipe = read_recipe(recipe_file, ["lora.rank=4", "loss.nce_pairs=[target:query]"])
    assert make_recipe(recipe.to_dict()) == recipe


def test_what_is_handed_on_names_no_folder() -> None:
    values = {"model": "/secret/model", "data": [{"path": "/secret/a.jsonl", "drop": "../secret/ids.json"}]}
    public = make_recipe(values).public()
    assert "secret" not in str(public)
    assert public["model"]["name"] == "model"
    assert make_recipe({"model": "owner/model"}).public()["model"]["name"] == "owner/model"


def test_the_formats_are_those_of_the_corpora() -> None:
    assert set(recipe_parts.FORMATS) == {"triplets", *CORPORA}


@pytest.mark.parametrize(
    ("entry", "seen"),
    [
        ({}, "neither"),
        ({"path": "a.jsonl", "corpus": "ntrex"}, "path, corpus"),
        ({"corpus": "ntrex", "format": "ntrex"}, "corpus, format"),
    ],
)
def test_data_are_a_file_or_a_corpus(entry: dict[str, str], seen: str) -> None:
    with pytest.raises(InputError, match=r"data\[0\]|data\.0") as refused:
        make_recipe({"model": "m", "languages": ["zh"], "data": [entry]})
    assert f"seen: '{seen}'" in str(refused.value)
    with pytest.raises(InputError, match=r"corpus.*ntrex, tico19"):
        make_recipe({"model": "m", "languages": ["zh"], "data": [{"corpus": "xquad"}]})


def test_recipes_of_different_folders_are_equal(recipe_file: Path) -> None:
    recipe: Recipe = read_recipe(recipe_file)
    assert replace(recipe, folder=Path("elsewhere")) == recipe


def test_anchors_need_translated_queries() -> None:
    data = [{"path": "a.jsonl", "sentence_queries": 1}]
    with pytest.raises(InputError, match=r"distil\.anchor_weight"):
        make_recipe({"model": "m", "languages": ["zh"], "data": data, "distil": {"anchor_weight": 1}})


@pytest.mark.parametrize("other", [{}, {"freeze_encoder": True, "start": "repair", "distil": {"anchor_weight": 1}}])
def test_only_anchors_of_a_trained_encoder_leave_texts_to_the_teacher(other: dict[str, Any]) -> None:
    values = {"model": "m", "languages": ["zh"], **other}
    with pytest.raises(InputError, match=r"distil\.anchor_share"):
        make_recipe(values | {"distil": {**other.get("distil", {}), "anchor_share": 0.5}})
    anchors = {"distil": {"anchor_weight": 1, "anchor_share": 0}, "loss": {"alignment_weight": 0}}
    assert make_recipe(values | {"freeze_encoder": False} | anchors)


def test_languages_are_evened_out_where_a_row_has_one() -> None:
    values = {"model": "m", "languages": ["zh", "th"], "language_exponent": 0}
    for kind in ("one", "mixed"):
        assert make_recipe(values | {"batch_languages": kind}).language_exponent == 0
    with pytest.raises(InputError, match=r"language_exponent.*batch_languages: one or mixed"):
        make_recipe(values | {"batch_languages": "all"})
    with pytest.raises(InputError, match="language_exponent"):
        make_recipe(values | {"language_exponent": 1.5})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"start": {"strength": 1.0, "common_share": 0.5}}, r"start.*strength, common_share.*kind: repair"),
        ({"evaluate": {"patience": 2, "every": None}}, r"evaluate\.patience.*evaluate\.every and a held-out part"),
        ({"evaluate": {"patience": 2}, "held_out": {"share": 0}}, r"evaluate\.patience"),
        ({"distil": {"anchor_negatives": 5}}, r"distil\.anchor_negatives.*distil\.anchor_weight above 0"),
        ({"freeze_token_table": False, "lora": {"rank": 2}}, r"freeze_token_table.*auto or true"),
        ({"freeze_token_table": False, "freeze_encoder": True, "start": "repair"}, "freeze_token_table"),
        ({"dropout": 0.1, "freeze_encoder": True, "start": "repair"}, r"dropout.*freeze_encoder: false"),
        ({"optimiser": {"to_start": 1e300}}, r"optimiser\.to_start.*at most 1e\+06"),
    ],
)
def test_what_would_do_nothing_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_recipe({"model": "m", "languages": ["zh"], **values})

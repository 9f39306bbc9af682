from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from training_runs import made_recipe, made_triplets

from haystack_crossalign.report.training_html import render_training_html
from haystack_crossalign.training.model_card import model_card
from haystack_crossalign.training.trainer import train


@pytest.fixture(scope="module")
def facts(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a real run left behind."""
    recipe = made_recipe(tiny_model_folder, evaluate={"every": 2, "keep": "last"}, name="aligned <b>")
    outcome = train(recipe, tmp_path_factory.mktemp("card") / "model", triplets=made_triplets(40))
    return dict(outcome.data)


def test_the_card_has_the_metadata_of_hubs_data_recipe_results_and_citation(facts: dict[str, Any]) -> None:
    facts = copy.deepcopy(facts)
    facts["data"]["files"][0]["licence"] = "CC BY-SA 4.0"
    card = model_card(facts)
    _, header, body = card.split("---\n", 2)
    metadata = yaml.safe_load(header)
    assert metadata["library_name"] == "sentence-transformers"
    assert metadata["language"] == ["en", "zh"]
    # A folder is no name on a hub, which refuses such a card.
    assert "base_model" not in metadata
    of_hub = model_card({**facts, "model": {**facts["model"], "hub_name": "BAAI/bge-m3"}})
    assert yaml.safe_load(of_hub.split("---\n", 2)[1])["base_model"] == "BAAI/bge-m3"
    assert "| triplets in memory | 40 | zh 40 | CC BY-SA 4.0 |" in body
    assert "2604.05684" in body
    recipe = yaml.safe_load(body.split("```yaml\n")[1].split("```")[0])
    assert recipe["optimiser"]["learning_rate"] == 1e-3
    row = facts["result"]["rows"][0]
    values = row["measures"]["Max@R"]
    low, high = values["interval"]
    expected = f"| en + zh | {row['queries']} en | Max@R | {values['base']:.2f} | {values['after']:.2f} |"
    assert f"{expected} {low:.2f} to {high:.2f} |" in body


def test_every_term_of_a_run_has_its_curve(tiny_model_folder: Path, tmp_path: Path) -> None:
    recipe = made_recipe(
        tiny_model_folder,
        loss={"pool_weight": 1.0, "token_weight": 1.0},
        distil={"weight": 0.3, "anchor_weight": 1.0},
        optimiser={"to_start": 0.1},
        held_out={"share": 0},
    )
    data = train(recipe, tmp_path / "out", triplets=made_triplets(24)).data
    kept_apart = {"loss", "grad_norm", "learning_rate", "epoch", "step"}
    terms = {name for entry in data["curves"]["steps"] for name in entry} - kept_apart
    assert terms == {"jsd", "nce", "pool", "token", "anchor", "distil", "to_start"}
    page = render_training_html(data)
    assert page.count("<svg ") == len(terms)
    assert "Alignment of the tokens of a passage and its translations" in page
    assert "an alignment of the tokens of versions (arXiv 2101.08231)" in model_card(data)


@pytest.mark.parametrize(
    ("kept", "sentence"),
    [
        ({"share": 0.0}, "the start was kept"),
        ({"share": 0.7}, "0.7 parts tuned and 0.3 parts start"),
    ],
)
def test_the_card_says_which_weights_were_kept(facts: dict[str, Any], kept: dict[str, Any], sentence: str) -> None:
    assert sentence in model_card({**facts, "kept": {**facts["kept"], **kept}})


def test_harm_is_told_in_card_and_report(facts: dict[str, Any]) -> None:
    result = {**facts["result"], "harm": 0.0234, "harmless": False}
    told = {**facts, "result": result}
    assert "2.34 points of NDCG@1 less than the base model, beyond the tolerance of 0.5" in model_card(told)
    assert "lost 2.34 points" in render_training_html(told)
    none = {**facts, "result": {**facts["result"], "harm": 0.0, "harmless": None, "unmeasured": ["ar"]}}
    assert "as much NDCG@1 as the base model, within the tolerance of 0.5" in model_card(none)
    assert "lost no points of NDCG@1" in render_training_html(none)
    for page in (model_card(none), render_training_html(none)):
        assert "Too little was held out to measure Arabic" in page


def test_the_report_is_one_page_that_loads_nothing_and_shows_curves_and_table(facts: dict[str, Any]) -> None:
    page = render_training_html(facts)
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page
    assert "default-src 'none'" in page
    assert "aligned &lt;b&gt;" in page
    assert "<b>" not in page
    # Two loss terms, and two charts of the held-out part.
    assert page.count("<svg viewBox") == 4
    steps = len(facts["curves"]["steps"])
    lines = [part.split('"')[0] for part in page.split('points="')[1:]]
    assert [len(line.split(" ")) for line in lines[:2]] == [steps, steps]
    assert "Max@R_norm" in page


def test_a_run_without_a_held_out_part_has_card_and_report_too(facts: dict[str, Any]) -> None:
    bare = {**facts, "result": None, "curves": {**facts["curves"], "evaluations": []}}
    assert "Nothing was held out" in model_card(bare)
    assert "Nothing was held out" in render_training_html(bare)


def test_the_card_says_which_languages_the_start_protects(facts: dict[str, Any]) -> None:
    assert "removed too" not in model_card(facts)
    repaired = copy.deepcopy(facts)
    repaired["start"] = {"kind": "repair", "repair": {"other_languages": "el,th"}, "trials": []}
    assert "The directions of 2 languages that were not trained on (el, th) were removed too" in model_card(repaired)
    repaired["start"]["repair"] = {}
    assert "No other language was protected" in model_card(repaired)
    repaired["recipe"]["start"]["closed"] = True
    assert "none was protected" in model_card(repaired)

"""What to do next: which steps, in which order, with commands that the program understands."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import typer
from one_row import Result, result

from haystack_crossalign.cli.main import app
from haystack_crossalign.report.advice.steps import Step, next_steps
from haystack_crossalign.report.advice.verdict import verdict

MODEL = {"name": "offline:multilingual-e5-small (4-bit copy of multilingual-e5-small)", "sha256": "a" * 64}


def steps(given: Result) -> list[Step]:
    return next_steps(given, verdict(given))


def titles(given: Result) -> list[str]:
    return [step.title for step in steps(given)]


def with_model(given: Result, **model: Any) -> Result:
    files = [{"name": "my documents.jsonl", "sha256": "b" * 64}]
    given["provenance"] |= {"model": {**MODEL, **model}, "data": {"name": "documents", "files": files}}
    return given


def test_a_biased_model_in_files() -> None:
    given = with_model(result(0.3, 0.3))
    assert titles(given) == [
        "Search each language by itself and take turns",
        "Train the model",
        "Repair the model",
        "Guard it",
    ]
    commands = {step.title: step.command for step in steps(given)}
    assert commands["Repair the model"] == (
        "crossalign repair --parallel 'my documents.jsonl' --model offline:multilingual-e5-small --output repaired"
    )
    assert commands["Guard it"] == "crossalign audit … --fail-on 'Complete@10[zh]<25%'"


def test_a_biased_index_ends_with_the_upgrade() -> None:
    given = with_model(result(0.3, 0.3)) | {"live": {"partial": None, "index": "prod; rm"}}
    repair = next(step for step in steps(given) if step.title.startswith("Repair"))
    first, second = repair.command.split(" && ")
    assert first == "crossalign repair --index 'prod; rm' --model offline:multilingual-e5-small --output repaired"
    assert second == "crossalign upgrade --index 'prod; rm' --matrix repaired/matrix.safetensors"


@pytest.mark.parametrize("model", [None, {"name": None}, {"name": "pipeline", "text_embedder": {}}])
def test_without_a_model_that_can_be_loaded_nothing_is_trained(model: Any) -> None:
    given = result(0.3, 0.3)
    given["provenance"]["model"] = model
    assert titles(given) == ["Search each language by itself and take turns", "Guard it"]


def test_a_good_result_is_guarded_and_nothing_else() -> None:
    assert titles(with_model(result(1.0, 0.9))) == ["Guard it"]
    assert steps(with_model(result(1.0, 0.9)))[0].command.endswith("--fail-on 'Complete@10[zh]<95%'")
    # What a gate could not fall below needs none.
    assert titles(result(None, 0.03))[-1] != "Guard it"


def test_what_makes_figures_wrong_comes_first() -> None:
    given = with_model(result(0.3, 0.3, queries=5, tags=("en", "und", "zh")))
    assert titles(given)[:2] == ["Give every document its language", "Judge more queries"]
    assert titles(result(0.3, 0.3, queries=30))[0] == "Search each language by itself and take turns"


def test_lists_that_lose_documents_are_a_matter_of_the_index() -> None:
    lists = result(0.3, 0.3, kind="live", retrieval="knn", recall={"value": 0.9, "k": 10, "queries": 100})["rows"][0]
    given = result(0.3, 0.3)
    given["rows"].append(lists)
    assert titles(given)[0] == "Search the index more thoroughly"
    lists["recall"]["value"] = 0.96
    assert "Search the index more thoroughly" not in titles(given)


@pytest.mark.parametrize(("first", "weak"), [(0.49, True), (0.5, False), (None, False)])
def test_a_model_that_is_weak_within_the_language_is_said(first: float | None, weak: bool) -> None:
    given = result(0.3, 0.3)
    alone = result(None, 0.3, scenario="mono-same", tags=("zh",))["rows"][0]
    alone["measures"]["NDCG@1"] = first
    given["rows"].append(alone)
    assert ("Try another model" in titles(given)) == weak


def test_pools_of_one_language_lead_to_the_mixed_one() -> None:
    given = result(1.0, 1.0, scenario="mono-same", tags=("zh",))
    assert titles(given) == []
    given["rows"].append(result(1.0, 1.0, scenario="mono-same", tags=("en",))["rows"][0])
    assert titles(given) == ["Search the mixed pool"]


def test_every_command_and_option_exists() -> None:
    group: Any = typer.main.get_command(app)
    cases = [
        with_model(result(0.3, 0.3, queries=5, tags=("en", "und", "zh"))),
        with_model(result(0.3, 0.3)) | {"live": {"partial": None, "index": "prod"}},
        {**result(1.0, 1.0, scenario="mono-same"), "provenance": {}},
    ]
    commands = [part for given in cases for step in steps(given) for part in step.command.split(" && ") if part]
    assert len(commands) > 6
    for command in commands:
        program, name, *arguments = shlex.split(command)
        assert program == "crossalign"
        known = {option for parameter in group.commands[name].params for option in parameter.opts}
        assert {argument for argument in arguments if argument.startswith("--")} <= known, command

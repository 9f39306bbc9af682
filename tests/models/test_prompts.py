from __future__ import annotations

import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.models.prompts import PromptChoice, Prompts, resolve_prompts

OTHER = (("its name", "sentence-transformers/all-MiniLM-L6-v2"),)


def test_the_prompts_of_the_model_are_used() -> None:
    own = {"query": "q: ", "document": "d: ", "passage": "d: "}
    expected = Prompts("q: ", "d: ", "model", "query", "document")
    assert resolve_prompts(own, (("its name", "intfloat/multilingual-e5-small"),)) == expected


def test_a_passage_prompt_counts_where_the_document_prompt_is_empty() -> None:
    # sentence-transformers fills in an empty "document", and its encode_document would then use no prompt at all.
    own = {"query": "query: ", "document": "", "passage": "passage: "}
    assert resolve_prompts(own, OTHER) == Prompts("query: ", "passage: ", "model", "query", "passage")


@pytest.mark.parametrize(
    ("own", "names"),
    [
        # As the model cards of these families have them; sentence-transformers adds the two empty ones.
        ({"retrieval.query": "Q: ", "retrieval.passage": "D: "}, ("retrieval.query", "retrieval.passage")),
        ({"search_query": "Q: ", "search_document": "D: "}, ("search_query", "search_document")),
        ({"s2p_query": "Q: "}, ("s2p_query", None)),
        ({"web_search_query": "Q: "}, ("web_search_query", None)),
    ],
)
def test_prompts_under_the_names_of_a_known_scheme_are_used(own: dict[str, str], names: tuple[str, str | None]) -> None:
    prompts = resolve_prompts({"query": "", "document": "", **own}, OTHER)
    document = "" if names[1] is None else "D: "
    assert prompts == Prompts("Q: ", document, "model", *names)


def test_prompts_that_are_not_in_use_are_named() -> None:
    own = {"query": "", "document": "", "s2p_query": "Q: ", "s2s_query": "S: "}
    assert resolve_prompts(own, OTHER).unused == ("s2s_query",)
    assert resolve_prompts({"retrieval": "R: "}, OTHER) == Prompts("", "", "none", unused=("retrieval",))


def test_a_prompt_is_chosen_by_its_name() -> None:
    own = {"query": "", "document": "", "s2p_query": "Q: ", "s2s_query": "S: "}
    prompts = resolve_prompts(own, OTHER, PromptChoice(query_prompt="s2s_query", document_prompt="document"))
    assert prompts == Prompts("S: ", "", "option", "s2s_query", "document", ("s2p_query",))
    with pytest.raises(InputError, match=r"query_prompt.*'sts'.*allowed: query, document, s2p_query, s2s_query"):
        resolve_prompts(own, OTHER, PromptChoice(query_prompt="sts"))
    with pytest.raises(InputError, match="the model has no prompts"):
        resolve_prompts({}, OTHER, PromptChoice(document_prompt="passage"))


@pytest.mark.parametrize(
    "name",
    [
        "intfloat/multilingual-e5-small",
        "intfloat/e5-large-v2",
        "intfloat/e5-base-unsupervised",
        "models/multilingual-e5-base/",
        "multilingual-e5-large",
    ],
)
@pytest.mark.parametrize("where", ["its name", "base_model in README.md"])
def test_an_e5_model_without_prompts_gets_those_of_its_family(name: str, where: str) -> None:
    prompts = resolve_prompts({"query": "", "document": ""}, (("its name", "model"), (where, name)))
    assert prompts == Prompts("query: ", "passage: ", "family:e5", evidence=where)


@pytest.mark.parametrize(
    "name", ["intfloat/multilingual-e5-large-instruct", "intfloat/e5-mistral-7b-instruct", "BAAI/bge-m3", "the5-small"]
)
def test_other_models_without_prompts_get_none(name: str) -> None:
    assert resolve_prompts({}, (("its name", name),)) == Prompts("", "", "none")


@pytest.mark.parametrize("role", ["query", "document"])
def test_a_text_and_a_name_for_one_prompt_are_refused(role: str) -> None:
    choice = PromptChoice(**{f"{role}_prefix": "", f"{role}_prompt": role})
    with pytest.raises(InputError, match=f"{role}_prefix and {role}_prompt exclude each other"):
        resolve_prompts({"query": "q: ", "document": "d: "}, OTHER, choice)


def test_an_explicit_prefix_wins_also_an_empty_one() -> None:
    own = {"query": "q: ", "document": "d: "}
    without = resolve_prompts(own, OTHER, PromptChoice(query_prefix=""))
    assert without == Prompts("", "d: ", "option", None, "document", ("query",))
    other = resolve_prompts(own, OTHER, PromptChoice(document_prefix="x: "))
    assert other == Prompts("q: ", "x: ", "option", "query", None, ("document",))

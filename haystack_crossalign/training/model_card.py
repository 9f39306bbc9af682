"""The model card of a trained model: Markdown with metadata for model hubs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from haystack_crossalign.languages import display_name
from haystack_crossalign.models.names import MATRIX_FILE
from haystack_crossalign.ranks import DEFAULT_SIMILARITY, similarity_words
from haystack_crossalign.report.content.model import cut_lines
from haystack_crossalign.report.training_html import MULTI_MEASURES, own_first_sentence, start_kept, within_tolerance
from haystack_crossalign.training.losses.joint import CITATION


def model_card(facts: Mapping[str, Any]) -> str:
    """The text of the card.

    :param facts: content of ``training.json``.
    """
    recipe, hub_name = facts["recipe"], facts["model"].get("hub_name")
    languages = [recipe["language"], *recipe["languages"]]
    header = {
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "language": languages,
        # Hubs reject a card whose base model they do not have; a folder has no hub name.
        **({"base_model": hub_name} if hub_name else {}),
        "tags": ["sentence-transformers", "sentence-similarity", "feature-extraction", "cross-lingual"],
    }
    lines = ["---", yaml.safe_dump(header, allow_unicode=True, sort_keys=False).strip(), "---", ""]
    lines += _introduction(facts, languages)
    lines += _usage(facts)
    lines += _results(facts)
    lines += _data(facts)
    lines += ["## Recipe", "", "```yaml"]
    lines += [yaml.safe_dump(dict(recipe), allow_unicode=True, sort_keys=False).strip(), "```", ""]
    packages = ", ".join(f"{name} {version}" for name, version in facts["environment"]["packages"].items())
    environment = facts["environment"]
    lines += [
        f"Seed {facts['seed']}, {environment['precision']} on {environment['device']}, "
        f"{environment['processes']} process{'es' if environment['processes'] > 1 else ''}; {packages}. "
        "`training.json` holds the curves, hashes and versions.",
        "",
        "## Citation",
        "",
        "```bibtex",
        CITATION.strip(),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _introduction(facts: Mapping[str, Any], languages: list[str]) -> Iterator[str]:
    names = ", ".join(display_name(tag) for tag in languages)
    yield f"# {facts['name']}"
    yield ""
    start = " after a linear repair of its language directions" if facts["start"]["kind"] == "repair" else ""
    similarity = similarity_words(facts["model"].get("similarity", DEFAULT_SIMILARITY))
    yield (
        f"[{facts['model']['name']}] fine-tuned{start} so that versions of one text in several languages ({names}) "
        f"are found together: {_terms(facts['recipe'])}. "
        f"Vectors of {facts['model']['dimension']} numbers, compared by {similarity}."
    )
    if facts["start"]["kind"] == "repair":
        yield ""
        yield _protection(facts)
    if facts["kept"]["share"] == 0:
        yield ""
        yield f"**{start_kept(facts)}**"
    elif facts["kept"]["share"] < 1:
        yield ""
        yield f"The weights are {facts['kept']['share']:g} parts tuned and {1 - facts['kept']['share']:g} parts start."
    if facts["kept"]["refitted"] is not None:
        yield ""
        yield (
            "The linear module at the end was fitted to the trained encoder afterwards."
            if "ridge" not in facts["kept"]["refitted"]
            else "The last modules, a map of its own for each language, were fitted afterwards."
        )
    yield ""


def _protection(facts: Mapping[str, Any]) -> str:
    """What was done for languages that were not trained on."""
    others = ((facts["start"].get("repair") or {}).get("other_languages") or "").split(",")
    if facts["recipe"]["start"].get("closed"):
        return "The index was said to hold no other languages (`start.closed`): none was protected."
    if not any(others):
        return "No other language was protected: the model knows none of those whose texts ship with the package."
    return (
        f"The directions of {len(others)} languages that were not trained on ({', '.join(others)}) were removed too by "
        "the repair; what the training does to them was not measured."
    )


def _terms(recipe: Mapping[str, Any]) -> str:
    """What was trained with, in words."""
    loss, distil = recipe["loss"], recipe["distil"]
    jsd = bool(loss["alignment_weight"]) and loss["alignment"] == "jsd"
    if jsd and loss["nce_weight"]:
        terms = ["the joint loss of cross-lingual alignment (Jensen-Shannon divergence and InfoNCE, arXiv 2604.05684)"]
    else:
        terms = ["Jensen-Shannon divergence between versions (arXiv 2604.05684)"] if jsd else []
        if loss["alignment_weight"] and not jsd:
            terms.append("a contrast between versions of passages (arXiv 2604.05684)")
        if loss["nce_weight"]:
            terms.append("a contrast of passages with queries in the other language (arXiv 2604.05684)")
    if loss["pool_weight"]:
        terms.append("a contrast of queries with one pool of passages in all languages")
    if loss.get("token_weight"):
        terms.append("an alignment of the tokens of versions (arXiv 2101.08231)")
    if distil["anchor_weight"]:
        terms.append("translations pulled to the model's embeddings of the originals")
    if distil["weight"]:
        terms.append("similarities within a language preserved")
    return "trained by " + "; ".join(terms)


def _usage(facts: Mapping[str, Any]) -> Iterator[str]:
    prompts = facts["model"]["prompts"]
    yield from (
        "## Use",
        "",
        "```python",
        "from sentence_transformers import SentenceTransformer",
        "",
        'model = SentenceTransformer("path/to/this/folder")',
        'queries = model.encode_query(["…"])',
        'documents = model.encode_document(["…", "…"])',
        "scores = model.similarity(queries, documents)",
        "```",
        "",
    )
    if prompts["query"] or prompts["document"]:
        query, document = prompts["query"], prompts["document"]
        yield f"Prompts: `{query}` before queries, `{document}` before documents; both are stored."
        yield ""
    for line in cut_lines(facts["model"]):
        yield f"In training {line[0].lower()}{line[1:]}"
        yield ""
    if facts["recipe"]["freeze_encoder"]:
        yield (
            f"Only the linear module was trained. `{MATRIX_FILE}` moves vectors that the base model made to where this "
            f"model puts them, without embedding a text again (`crossalign upgrade --matrix {MATRIX_FILE}`); "
            "vectors of the two must not be compared."
        )
        yield ""


def _results(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "## Before and after"
    yield ""
    result = facts["result"]
    if result is None:
        yield "Nothing was held out, so nothing was measured."
        yield ""
        return
    held = facts["data"]["held_out"]["triplets"]
    repaired = facts["start"]["kind"] == "repair"
    columns = ["Pool", "Queries", "Measure", "Base", *(["Repaired"] if repaired else []), "After", "95 % interval"]
    yield f"On {held} triplets of the training data's kind that were held out; other data may differ."
    yield ""
    yield "| " + " | ".join(columns) + " |"
    yield "|" + " --- |" * 3 + " ---: |" * (len(columns) - 3)
    for row in result["rows"]:
        shown = MULTI_MEASURES if row["scenario"] == "multi" else ("NDCG@1",)
        for name in shown:
            values = row["measures"][name]
            interval = values["interval"]
            cells = [
                " + ".join(row["pool"]) + (f" (of {row['part']})" if row["part"] else ""),
                f"{row['queries']} {row['query_language']}",
                name,
                _figure(name, values["base"]),
                *([_figure(name, values["start"])] if repaired else []),
                _figure(name, values["after"]),
                "" if not interval else " to ".join(_figure(name, bound) for bound in interval),
            ]
            yield "| " + " | ".join(cells) + " |"
    yield ""
    lost = 100 * result["harm"]
    verdict = "within" if within_tolerance(result) else "beyond"
    change = f"{abs(lost):.2f} points of NDCG@1 {'less' if lost > 0 else 'more'} than"
    if lost == 0:
        change = "as much NDCG@1 as"
    yield (
        f"Retrieval within one language, of the one that came off worst: {change} the base model, {verdict} the "
        f"tolerance of {100 * result['tolerance']:g}."
    )
    yield own_first_sentence(result)
    if result["unmeasured"]:
        names = ", ".join(display_name(tag) for tag in result["unmeasured"])
        yield f"**Too little was held out to measure {names}: whether it was harmed is not known.**"
    yield ""


def _data(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "## Training data"
    yield ""
    yield "| File | Triplets | Languages | License |"
    yield "| --- | ---: | --- | --- |"
    for source in facts["data"]["files"]:
        tags = ", ".join(f"{tag} {count}" for tag, count in source["languages"].items())
        licence = source["licence"] or "not stated in the recipe"
        yield f"| {source['name']} | {source['triplets']} | {tags} | {licence} |"
    yield ""
    yield (
        f"{facts['data']['triplets']} triplets trained on. The licences of the data and of the base model hold for "
        "what is made of them; check them before you share this model."
    )
    yield ""


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if name == "Max@R" else f"{100 * value:.2f} %"

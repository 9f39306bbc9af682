"""Model card of a repaired model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from haystack_crossalign.ranks import similarity_words
from haystack_crossalign.repair.language_maps import describe_maps
from haystack_crossalign.report.content.words import difference, difference_interval, measure_value

_TEMPLATE = """---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags:
- sentence-transformers
- feature-extraction
- crossalign
{base}language:
{languages}
---

# {name}, repaired

The embeddings of `{name}` with the directions projected out in which the languages {names} differ, so that a query
finds its answer in whatever language it is written. Nothing was trained: {layers}. It is a stock
sentence-transformers folder.

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/to/this/folder")
{usage}
```

Vectors of the base model that are in an index already need no new embedding: `{matrix}`, which was written with this
folder, moves them: `crossalign upgrade --index NAME --matrix {matrix}`. Vectors of the two models must not be compared
with each other.

## How it was made

- Tool: haystack-crossalign {version}, `crossalign repair`
- Base model: `{name}`, SHA-256 of its weights `{sha256}`
- Fitted on: {fitted}
- Directions taken out: {directions}, strength {strength:g}; share of the common mean taken away:
  {share:g}; {whitening}
- Maps: {maps}
- Chosen by: {criterion}, ranked by {similarity}, under the condition that no language loses same-language
  NDCG@1 beyond the tolerance, or more than one query where queries are too few to see it{own_first}
- Data: {data}

## Same-language retrieval on held-out documents (NDCG@1)

| language | queries | before | after | difference, 95 % interval | verdict |
|---|---|---|---|---|---|
{table}

## Other languages

{others}

{notes}

## Licence

The weights are those of the base model: its licence holds. What follows it was fitted on the data named above; see to
it that their licence allows your use.

## Method

Removal of language information by projection: LIR (Yang et al., 2021), LSAR (Xie et al., 2022), SHIFT.
"""


def repair_card(data: Mapping[str, Any], name: str, hub_name: str | None = None) -> str:
    """The model card: Markdown with metadata for model hubs.

    :param data: content of ``repair.json``.
    :param name: name of the base model.
    :param hub_name: its name on the hub. None leaves the field out: hubs reject a card whose base model they do not
        have, and the location of a folder is private.
    """
    model, chosen = data["model"] or {}, data["chosen"]
    own, ridge, margins = chosen["own_share"], chosen["ridge"], chosen["own_margins"]
    prompts = model.get("prompts") or {}
    lines = [
        "| {language} | {queries} | {before} | {after} | {difference} ({interval}) | {verdict} |".format(
            **change
            | {side: measure_value("NDCG@1", change[side], change["queries"]) for side in ("before", "after")}
            | {
                "difference": difference("NDCG@1", change["difference"], change["queries"]),
                "interval": difference_interval("NDCG@1", change["interval"], change["queries"]),
            }
        )
        for change in data["same_language"]
    ]
    languages = sorted(data["fitted_on"])
    usage = (
        'queries = model.encode_query(["…"])\npassages = model.encode_document(["…"])  # the prompts are in the folder'
        if prompts.get("query") or prompts.get("document")
        else 'vectors = model.encode(["…"])'
    )
    return _TEMPLATE.format(
        base="" if hub_name is None else f"base_model: {_quoted(hub_name)}\n",
        languages="\n".join(f"- {_quoted(tag)}" for tag in languages),
        name=name,
        names=", ".join(languages),
        usage=usage,
        matrix=data["matrix_file"],
        version=data["tool"]["version"],
        sha256=model.get("sha256") or "not known",
        fitted=", ".join(f"{count} documents in {tag}" for tag, count in data["fitted_on"].items()),
        directions=data["directions"],
        strength=chosen["strength"],
        share=chosen["common_share"],
        whitening="no whitening"
        if chosen["whitening"] is None
        else f"differences between translations whitened, shrinkage {chosen['whitening']:g}",
        layers="one linear layer follows the base model (Normalize, Dense without activation, Normalize)"
        if own is None and margins is None
        else "a map for each language follows the base model (Normalize, three Dense with ReLU, Normalize)",
        maps=describe_maps(own, ridge, margins),
        criterion=data["criterion"],
        own_first=""
        if data["keep_own_first"] is None
        else f", and none more than\n  {100 * data['keep_own_first']:.3g} points of the queries that find their own "
        "version first",
        similarity=similarity_words(data["similarity"]["name"]),
        data=", ".join(f"`{file['name']}` (SHA-256 `{file['sha256'][:16]}…`)" for file in data["data"]) or "in memory",
        table="\n".join(lines),
        others=_others(data["other_languages"]),
        notes="\n".join(f"- {note}" for note in data["notes"]),
    )


def _others(others: Mapping[str, Any]) -> str:
    """What protects languages that were not fitted, and the table of those that were left out."""
    protected = ", ".join(others["languages"])
    lines = [
        f"Directions removed too: {protected}." if protected else "None is protected: this model is for a closed index."
    ]
    if others["left_out"]:
        lines += [
            "The same repair, made without the language:",
            "",
            "| language | measure, lower is better | queries | before | after | p |",
            "|---|---|---|---|---|---|",
            *(
                f"| {one['language']} | {one['measure']} | {one['queries']} | {one['before']:.2f} | {one['after']:.2f} "
                f"| {one['p_value']:.3f} |"
                for one in others["left_out"]
            ),
        ]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    # YAML 1.1 reads `no`, the tag of Norwegian, as false.
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

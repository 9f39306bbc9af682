"""How a result was measured, as lists of names and values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from haystack_crossalign.languages import UNDETERMINED, display_name
from haystack_crossalign.measures.meanings import Meaning, meanings
from haystack_crossalign.measures.parity import DEFINITION, TITLE, parities
from haystack_crossalign.ranks.similarity import similarity_words
from haystack_crossalign.report.content.words import DASH, count, joined, plural, shorten

_MODEL = frozenset(
    {
        "name",
        "sha256",
        "dimension",
        "precision",
        "backend",
        "max_tokens",
        "prompts",
        "prompt_names",
        "normalized",
        "cut_texts",
        "notes",
    }
)
"""Keys known for every model; other keys of an embedder's description follow."""


_PLURALS = {"query": "queries"}
_MOST_REASONS = 5


def subject_name(provenance: Mapping[str, Any]) -> str:
    """The subject of an audit, in one line: the model (or the retriever) and the data."""
    model, data = provenance.get("model") or {}, provenance.get("data") or {}
    name = model.get("name") or ("vectors of the queries" if data.get("queries") else "retrieved results")
    pool = f" ({data['pool']})" if data.get("pool") else f", {data['queries']}" if data.get("queries") else ""
    return f"{name} on {data['name']}{pool}" if data.get("name") else name


def facts(provenance: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Groups of (name, value) pairs: model, data, options, environment."""
    tool, model = provenance.get("tool") or {}, provenance.get("model") or {}
    data, environment = provenance.get("data") or {}, dict(provenance.get("environment") or {})
    groups = [
        (
            "Model",
            [
                ("Name", _text(model.get("name"))),
                ("SHA-256", _text(model.get("sha256"))),
                ("Dimension", _text(model.get("dimension"))),
                ("Precision", _text(model.get("precision"))),
                *([("Backend", str(model["backend"]))] if model.get("backend") else []),
                ("Longest input", f"{model['max_tokens']} tokens" if model.get("max_tokens") else DASH),
                *((f"Prompt for a {role}", repr(prompt)) for role, prompt in (model.get("prompts") or {}).items()),
                *(
                    (f"Name of the prompt for a {role}", name)
                    for role, name in (model.get("prompt_names") or {}).items()
                    if name is not None
                ),
                *((f"{kind.capitalize()} cut", str(number)) for kind, number in (model.get("cut_texts") or {}).items()),
                ("Normalized vectors", _text(model.get("normalized"))),
                *(
                    (str(name).replace("_", " ").capitalize(), _text(value))
                    for name, value in model.items()
                    if name not in _MODEL and value is not None
                ),
            ],
        ),
        (
            "Data",
            [
                ("Name", _text(data.get("name"))),
                ("Pool", _text(data.get("pool"))),
                *((str(file.get("name")), f"SHA-256 {file.get('sha256')}") for file in data.get("files") or []),
                *_judgments(data),
                *_detection(data.get("detection")),
            ],
        ),
        (
            "Run",
            [
                ("Tool", f"{tool.get('name', '')} {tool.get('version', '')}".strip()),
                ("Command", _text(provenance.get("command"))),
                *([("Time", str(provenance["stamp"]))] if provenance.get("stamp") else []),
                ("Seed", _text(provenance.get("seed"))),
                *([("Similarity", similarity_note(provenance))] if provenance.get("similarity") else []),
                *([("Order of equal scores", str(provenance["ties"]))] if provenance.get("ties") else []),
                *((str(name), _text(value)) for name, value in (provenance.get("options") or {}).items()),
            ],
        ),
        (
            "Environment",
            [
                *((str(name), _text(value)) for name, value in environment.items() if name != "packages"),
                *((str(name), _text(value)) for name, value in (environment.get("packages") or {}).items()),
            ],
        ),
    ]
    if not model:
        groups[0] = ("Model", [("Name", "none: the documents came from a retriever")])
    return groups


_ALIKE_AT_UNIT_LENGTH = {"cosine", "dot", "euclidean"}


def similarity_note(provenance: Mapping[str, Any]) -> str:
    """One sentence on the similarity and its origin. Empty if only lists were audited."""
    ranked_by = provenance.get("similarity")
    if ranked_by is None:
        return ""
    origin = {
        "model": "as the model says",
        "option": "as --similarity says",
        "store": "as the document store does",
        "index": "as the vector field of the index does",
        "default": "the default for vectors that come without a model; --similarity names another",
    }[ranked_by["from"]]
    text = f"Ranked by {similarity_words(ranked_by['name'])}, {origin}"
    own = ranked_by.get("own")
    unit = (provenance.get("model") or {}).get("normalized")
    if own is None or (unit and {own, ranked_by["name"]} <= _ALIKE_AT_UNIT_LENGTH):
        return f"{text}."
    return f"{text}; the model itself says {similarity_words(own)}."


def data_notes(provenance: Mapping[str, Any]) -> list[str]:
    """What a reader must know about the data: grades, detected languages, omissions, and contradictions in a run. Empty
    if there is nothing to report.
    """
    data = provenance.get("data") or {}
    notes = [
        _grades_note(data.get("judgments")),
        _detection_note(provenance),
        left_out_note(data.get("left_out") or ()),
        *_run_notes(provenance.get("run") or {}),
    ]
    return [note for note in notes if note]


def _grades_note(judgments: Mapping[str, Any] | None) -> str:
    if judgments is None:
        return ""
    level, grades = judgments["relevance_level"], list(judgments["grades"])
    gain = "the gain of NDCG is the grade" if judgments["gain"] == "linear" else "NDCG counts every relevant document 1"
    return (
        f"Judgments have grades ({grades[0]} to {grades[-1]}): {gain}, and a document counts as relevant from grade "
        f"{level}."
    )


def left_out_note(omissions: Sequence[Mapping[str, Any]]) -> str:
    """A sentence on the rows that were left out, by kind and reason."""
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for omission in omissions:
        kinds.setdefault(omission["what"], []).append(omission)
    parts = []
    for what, rows in kinds.items():
        total = plural(sum(row["count"] for row in rows), what, _PLURALS.get(what, f"{what}s"))
        shown = [
            (f"{count(row['count'])} " if len(rows) > 1 else "")
            + f"{row['reason']}: {'such as ' if row['count'] > len(row['first']) else ''}{_some(row['first'], 3)}"
            for row in rows[:_MOST_REASONS]
        ]
        if len(rows) > _MOST_REASONS:
            shown.append(f"{count(sum(row['count'] for row in rows[_MOST_REASONS:]))} for other reasons")
        parts.append(f"{total} ({'; '.join(shown)})")
    return f"Left out: {'; '.join(parts)}." if parts else ""


def _run_notes(run: Mapping[str, Any]) -> list[str]:
    notes = []
    if run.get("order") is not None:
        notes.append(f"The run is ordered by its {run['order']}s, as was asked for.")
    contradictions = run.get("contradictions")
    if contradictions is not None:
        notes.append(
            f"Ranks and scores of the run contradict each other for {count(contradictions['pairs'])} of "
            f"{count(contradictions['of'])} neighbors in rank (first on line {contradictions['line']}); the scores "
            "count."
        )
    if (merged := run.get("merged")) is not None:
        notes.append(merged_note(merged))
    lacking = run.get("queries_without_results")
    if lacking is not None:
        several = lacking["count"] > 1
        notes.append(
            f"{plural(lacking['count'], 'query', 'queries')} {'are' if several else 'is'} not in the run and "
            f"{'count' if several else 'counts'} as having found nothing: {_some(lacking['first'], 3)}"
            f"{', …' if lacking['count'] > len(lacking['first']) else ''}."
        )
    return notes


def merged_note(merged: Mapping[str, Any]) -> str:
    """A sentence on lists that hold several documents of a version.

    :param merged: of the provenance of a run, or of a retrieval of an index.
    """
    held = (
        f"Lists of {merged['hits']} hits hold as few as {plural(merged['versions'], 'version')}, because several hits"
    )
    if merged["counted"] == "hits":
        return (
            f"{held} are chunks of one; ranks count all hits, as users see them, further chunks of an answer included."
        )
    return (
        f"{held} are chunks of one and count once; what follows is not known, so that measures with a cut-off above "
        f"{merged['versions']} may have no value. --count hits counts hits, as users see them."
    )


def _detection_note(provenance: Mapping[str, Any]) -> str:
    """A sentence on texts without a language: counts, never a silent guess. Empty if all had one."""
    detection = (provenance.get("data") or {}).get("detection")
    if detection is None:
        return ""
    documents, queries = detection["undetermined_documents"], detection["undetermined_queries"]
    counts = [plural(detection["documents"], "document"), plural(detection["queries"], "query", "queries")]
    text = f"Languages were detected from the texts of {joined(counts)}{_by_language(detection)}"
    if not documents and not queries:
        return f"{text}; all were clear."
    unclear = []
    if documents:
        unclear.append(f"{plural(documents, 'document')} (kept in the pool as '{display_name(UNDETERMINED)}')")
    if queries:
        unclear.append(f"{plural(len(queries), 'query', 'queries')} (left out: {_some(queries, 3)})")
    text = f"{text}. The language is not clear, and was not guessed, for {joined(unclear)}"
    between = [
        f"{plural(count, 'text')} may be in {joined([display_name(tag) for tag in tags.split(', ')], 'or')}"
        for tags, count in (detection.get("between") or {}).items()
    ]
    return f"{text}: {'; '.join(between)}." if between else f"{text}."


def _by_language(detection: Mapping[str, Any]) -> str:
    """Detected texts by language, in parentheses; empty for results of versions that did not record them."""
    counts = sorted((detection.get("languages") or {}).items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{display_name(tag)} {count}" for tag, count in counts[:5]]
    more = [f"{len(counts) - len(shown)} more"] if len(counts) > len(shown) else []
    return f" ({', '.join(shown + more)})" if shown else ""


def _judgments(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Titles, grades and omissions."""
    pairs = []
    if (titles := data.get("titles")) is not None:
        documents = plural(titles["documents"], "document")
        pairs.append(("Titles", f"field '{titles['field']}' was put before the text of {documents}"))
    if (judgments := data.get("judgments")) is not None:
        shown = ", ".join(f"{grade}: {count(number)}" for grade, number in list(judgments["grades"].items())[:20])
        pairs.append(("Judgments by grade", f"{shown}{', …' if len(judgments['grades']) > 20 else ''}"))
        pairs.append(("Relevant from grade", str(judgments["relevance_level"])))
        pairs.append(("Gain of NDCG", judgments["gain"]))
    for row in data.get("left_out") or ():
        kind = _PLURALS.get(row["what"], f"{row['what']}s")
        pairs.append((f"Left out, {kind}", f"{count(row['count'])}, {row['reason']}: {_some(row['first'], 3)}"))
    return pairs


def _detection(detection: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if detection is None:
        return []
    documents, queries = detection["undetermined_documents"], detection["undetermined_queries"]
    left_out = f"left out: {_some(queries, 20)}" if queries else "left out"
    return [
        (
            "Languages detected",
            f"{plural(detection['documents'], 'document')}, {plural(detection['queries'], 'query', 'queries')}",
        ),
        (
            "Language not clear",
            f"{plural(documents, 'document')} (kept in the pool), "
            f"{plural(len(queries), 'query', 'queries')} ({left_out})",
        ),
    ]


def _some(ids: Sequence[str], most: int) -> str:
    return ", ".join([*(shorten(identifier, 60) for identifier in ids[:most]), *(["…"] if len(ids) > most else [])])


def _text(value: object) -> str:
    if value is None or value == "":
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def glossary(rows: Sequence[Mapping[str, Any]]) -> list[Meaning]:
    """Definitions of the measures of rows."""
    known = meanings(name for row in rows for name in row["measures"])
    return [*known, Meaning(TITLE, DEFINITION)] if parities(rows) else known


def limits(result: Mapping[str, Any]) -> list[str]:
    """Limits of what the figures mean."""
    rows = result["rows"]
    texts = [
        "Ranks count versions (a content in one language, at the rank of its best document) and start at 1. Equal "
        "scores are ordered by a hash of the document id, which favors no language, those of a run file by its rank "
        "column. Where another order would change a figure, the tables say within which range (ties).",
        "Intervals are 95 % bootstrap intervals over queries: they speak of other queries of this kind, not of other "
        "collections.",
        "Only judged documents count as relevant. A document that answers the query and is not judged counts as one "
        "that stands in the way.",
        "A mean rank is pulled up by few very deep queries; the median and the distribution stand beside it.",
    ]
    if (result["provenance"].get("options") or {}).get("count") == "hits":
        texts.append(
            "Ranks in lists count hits, as users see them: further chunks of a version count too. Intrusion leaves out "
            "further chunks of relevant versions."
        )
    if any(row["kind"] == "exact" for row in rows):
        texts.append(
            "Exact ranks compare the query with every document of the pool. An approximate index, filters or a "
            "re-ranker in front of users can give other lists."
        )
    if any(row["kind"] == "live" for row in rows):
        texts.append(
            "Results as served end at some depth. Ranks below it are not known (censored): they are counted and never "
            "averaged as if they were known."
        )
    live = result.get("live")
    if live is not None:
        texts.append(
            "Recall of a live list is the share of the exact top documents that the top of the list holds. Where it is "
            "low, the list loses documents of every language, and its figures say less about languages."
        )
    if live is not None and live["queries"]["kind"] == "known-item":
        texts.append(
            "Known-item probes are made of the documents' own words. They compare languages over the same task; they "
            "do not tell how well people's questions are answered."
        )
    name = ((result["provenance"].get("model") or {}).get("name")) or ""
    if name.startswith("offline:"):
        texts.append(
            "The model is a 4-bit copy of the original, for machines that reach no model hub; the original gives "
            "slightly other figures."
        )
    return texts

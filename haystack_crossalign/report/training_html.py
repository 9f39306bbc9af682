"""A training run as one self-contained HTML page: loss curves, and the held-out audit before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from haystack_crossalign.languages import display_name
from haystack_crossalign.report.content.model import cut_lines
from haystack_crossalign.report.content.words import count, interval, joined, measure_value, plural
from haystack_crossalign.report.lines_svg import Series, line_chart
from haystack_crossalign.report.templating import asset, templates

_TERMS = {
    "jsd": "Distance between the versions of a passage (L_JSD)",
    "passage_nce": "Contrast between passages (in place of L_JSD)",
    "nce": "Contrast between passages and queries (L_NCE)",
    "pool": "Contrast of queries with one pool of passages in all languages",
    "token": "Alignment of the tokens of a passage and its translations",
    "anchor": "Distance of every version to the teacher's original",
    "distil": "Distillation of same-language similarities",
    "to_start": "Pull to the start weights",
}


OWN_FIRST = "Top1[relevant,same]"
MULTI_MEASURES = ("Max@R", "Max@R_norm", "Complete@10", OWN_FIRST)
"""What is shown of a pool of several languages; of others NDCG@1."""


def render_training_html(facts: Mapping[str, Any]) -> str:
    """The HTML page of a training run.

    :param facts: content of ``training.json``, schema ``crossalign.training/1``.
    :returns: the HTML document, for a file in UTF-8. It loads nothing and needs no script.
    """
    return (
        templates()
        .get_template("training.html.j2")
        .render(
            style=asset("page.css"),
            name=facts["name"],
            lead=_lead(facts),
            more=_more(facts),
            curves=_curves(facts["curves"]["steps"]),
            evaluations=_evaluations(facts),
            columns=_columns(facts),
            rows=_rows(facts),
            shares=facts["kept"]["tried"],
            trials=facts["start"]["trials"],
            facts=_facts(facts),
            recipe=yaml.safe_dump(dict(facts["recipe"]), allow_unicode=True, sort_keys=False).strip(),
        )
    )


def start_kept(facts: Mapping[str, Any]) -> str:
    """The sentence for a run that kept its start.

    :param facts: content of ``training.json``.
    """
    bound = (facts["result"] or {}).get("keep_own_first")
    if bound is None:
        return "Training was no better than the start on held-out data, so the start was kept."
    return (
        "Training was no better than the start on held-out data, or took more of the own language first than "
        f"{100 * bound:g} points, so the start was kept."
    )


def within_tolerance(result: Mapping[str, Any]) -> bool:
    """Whether no language lost more than the tolerance of NDCG@1 in its own pool.

    :param result: ``result`` of ``training.json``.
    """
    return bool(result["harm"] <= result["tolerance"] + 1e-9)


def own_first_sentence(result: Mapping[str, Any]) -> str:
    """What training takes from users: a document in their own language first.

    :param result: ``result`` of ``training.json``.
    """
    lost = [
        (row["measures"][OWN_FIRST]["base"] - row["measures"][OWN_FIRST]["after"], row)
        for row in result["rows"]
        if row["scenario"] == "multi"
    ]
    most, row = max(lost, key=lambda pair: pair[0])
    if most <= 0:
        return "In no language do fewer queries find a document in their own language first than by the base model."
    values, bound = row["measures"][OWN_FIRST], result["keep_own_first"]
    before, after = (measure_value(OWN_FIRST, values[column], row["queries"]) for column in ("base", "after"))
    accepted = ""
    if bound is not None:
        accepted = f", {'within' if most <= bound + 1e-9 else 'beyond'} the accepted loss of {100 * bound:g} points"
    return (
        f"Own language first, where it lost most ({_row_name(row)}): {before} of the queries by the base model, "
        f"{after} after training{accepted}."
    )


def _lead(facts: Mapping[str, Any]) -> str:
    result, kept = facts["result"], facts["kept"]
    if result is None:
        return f"Trained for {plural(kept['of_steps'], 'step', 'steps')}; nothing was held out to measure it."
    if kept["share"] == 0:
        return start_kept(facts)
    row = min(
        (row for row in result["rows"] if row["scenario"] == "multi"),
        key=lambda row: row["measures"]["Max@R_norm"]["base"],
    )
    depth = row["measures"]["Max@R"]
    query_language = display_name(row["query_language"])
    versions = joined([display_name(tag) for tag in row["pool"]])
    before, after = (measure_value("Max@R", depth[column], row["queries"]) for column in ("base", "after"))
    return (
        f"To see every version of the answer ({versions}), a query in {query_language} had to be read to rank {before} "
        f"before training, and to rank {after} after it (means)."
    )


def _more(facts: Mapping[str, Any]) -> list[str]:
    result, kept, held = facts["result"], facts["kept"], facts["data"]["held_out"]["triplets"]
    sentences = []
    if result is not None:
        lost = 100 * result["harm"]
        within = "within" if within_tolerance(result) else "beyond"
        change = "lost no" if lost == 0 else f"lost {lost:.2f}" if lost > 0 else f"gained {abs(lost):.2f}"
        sentences.append(
            f"Retrieval within one language: the one that came off worst {change} points of NDCG@1 against the base "
            f"model, {within} the tolerance of {100 * result['tolerance']:g}."
        )
        sentences.append(own_first_sentence(result))
        if result["unmeasured"]:
            languages = joined([display_name(tag) for tag in result["unmeasured"]])
            sentences.append(f"Too little was held out to measure {languages}: whether it was harmed is not known.")
        sentences.append(f"Measured on {plural(held, 'triplet', 'triplets')} of the same kind of data, held out.")
    if 0 < kept["share"] < 1:
        sentences.append(
            f"The weights are {100 * kept['share']:g} % tuned and {100 - 100 * kept['share']:g} % start ones."
        )
    elif kept["share"] == 1:
        sentences.append(f"The weights are those of step {kept['step']} of {kept['of_steps']}.")
    return sentences


def _curves(steps: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    charts = []
    for term, title in _TERMS.items():
        points = [(entry["step"], entry[term]) for entry in steps if term in entry]
        if points:
            charts.append({"title": title, "svg": line_chart([Series(term, points)], label=f"{title}, by step")})
    return charts


def _evaluations(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    entries, kept = facts["curves"]["evaluations"], facts["kept"]["step"]
    if len(entries) < 2:
        return []
    charts = []
    for title, scenarios, measure in (
        ("Max@R_norm in pools of several languages, percent", ("multi",), "Max@R_norm"),
        ("NDCG@1 in pools of one language, percent", ("mono-same", "mono-cross"), "NDCG@1"),
    ):
        names = [number for number, row in enumerate(entries[0]["rows"]) if row["scenario"] in scenarios]
        lines = [
            Series(
                _row_name(entries[0]["rows"][number]),
                [(entry["step"], 100 * entry["rows"][number]["measures"][measure]) for entry in entries],
            )
            for number in names
        ]
        for start in range(0, len(lines), 4):
            part = lines[start : start + 4]
            svg = line_chart(part, label=f"{title}, by step", mark=kept)
            charts.append({"title": title, "svg": svg, "names": [series.name for series in part]})
    return charts


def _columns(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    repaired = facts["start"]["kind"] == "repair"
    return [("base", "Base"), *([("start", "Repaired")] if repaired else []), ("after", "After")]


def _rows(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    if facts["result"] is None:
        return []
    rows = []
    for row in facts["result"]["rows"]:
        for name in MULTI_MEASURES if row["scenario"] == "multi" else ("NDCG@1",):
            values = row["measures"][name]
            after, base = values["after"], values["base"]
            same = after == base
            better = not same and (after < base if name == "Max@R" else after > base)
            rows.append(
                {
                    "name": _row_name(row),
                    "queries": count(row["queries"]),
                    "measure": name,
                    "values": [measure_value(name, values[column], row["queries"]) for column, _ in _columns(facts)],
                    "interval": interval(name, values["interval"], row["queries"]),
                    "verdict": "" if same else "better" if better else "worse",
                }
            )
    return rows


def _row_name(row: Mapping[str, Any]) -> str:
    pool = " + ".join(display_name(tag) for tag in row["pool"])
    if row["part"]:
        pool = f"{pool} (of {row['part']})"
    return f"{pool}, asked in {display_name(row['query_language'])}"


def _facts(facts: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    model, data, environment = facts["model"], facts["data"], facts["environment"]
    return [
        (
            "Model",
            [
                ("Name", model["name"]),
                ("SHA-256", model["sha256"] or ""),
                *((f"Prompt for a {role}", repr(prompt)) for role, prompt in model["prompts"].items()),
                *(("Cut texts", line) for line in cut_lines(model)),
                *((f"Repair: {key.replace('_', ' ')}", text) for key, text in (facts["start"]["repair"] or {}).items()),
            ],
        ),
        (
            "Data",
            [
                *(
                    (source["name"], f"{plural(source['triplets'], 'triplet', 'triplets')}, SHA-256 {source['sha256']}")
                    for source in data["files"]
                ),
                ("Trained on", plural(data["triplets"], "triplet", "triplets")),
                ("Held out", plural(data["held_out"]["triplets"], "triplet", "triplets")),
            ],
        ),
        (
            "Run",
            [
                ("Seed", str(facts["seed"])),
                ("Precision", f"{environment['precision']} on {environment['device']}"),
                ("Processes", str(environment["processes"])),
                ("Weights kept", f"of step {facts['kept']['step']}, share {facts['kept']['share']:g} beside the start"),
                *(
                    (f"Fitted after training: {key.replace('_', ' ')}", text)
                    for key, text in (facts["kept"]["refitted"] or {}).items()
                ),
                ("Processor", str(environment["cpu"])),
            ],
        ),
        ("Software", [(name, str(version)) for name, version in environment["packages"].items()]),
    ]

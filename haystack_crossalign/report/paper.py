"""The evaluation of the paper with several models side by side, as an HTML page, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from haystack_crossalign.languages import display_name
from haystack_crossalign.measures.meanings import meanings
from haystack_crossalign.report.content.tables import Cell, Table
from haystack_crossalign.report.content.words import DASH, interval, measure_value
from haystack_crossalign.report.html import page
from haystack_crossalign.report.markdown import markdown_list, markdown_table

SHOWN = {
    "multi": ("Max@R", "Max@R_norm", "Complete@10", "Top1[relevant,same]"),
    "mono-same": ("NDCG@1", "NDCG@10"),
    "mono-cross": ("NDCG@1", "NDCG@10"),
}
"""Measures that are shown of each scenario."""

_POOL_OF_THE_PAPER = "questions"
"""Figures of another pool are not comparable with the published ones."""

_TITLES = {
    "multi": "Multi: a pool of all languages named",
    "mono-same": "Mono-Same: a pool in the language of the queries",
    "mono-cross": "Mono-Cross: a pool in another language",
}
_TITLE = "Cross-lingual alignment: the paper's evaluation"
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\u00a0": "~", "→": r"$\to$", "–": "--",
}  # fmt: skip


def paper_tables(data: Mapping[str, Any], published: Sequence[Mapping[str, Any]]) -> list[Table]:
    """One table for each corpus, scenario and measure: a row for each pool and query language, a column for each model.

    :param data: schema ``crossalign.paper/1``.
    :param published: the paper's figures: ``model``, ``corpus``, ``language``, ``query_language``, ``measure``,
        ``base`` and ``aligned``.
    """
    return [table for corpus in data["corpora"] for table in _of_corpus(data, corpus, published)]


def _of_corpus(
    data: Mapping[str, Any], corpus: Mapping[str, Any], published: Sequence[Mapping[str, Any]]
) -> Iterator[Table]:
    labels = [model["label"] for model in data["models"]]
    for scenario, names in SHOWN.items():
        rows: dict[tuple[tuple[str, ...], str], dict[str, Mapping[str, Any]]] = {}
        for row in data["rows"]:
            if row["corpus"] == corpus["name"] and row["scenario"] == scenario:
                rows.setdefault((tuple(row["pool_languages"]), row["query_language"]), {})[row["model"]] = row
        for name in names if rows else ():
            stated = {
                (entry["language"], entry["query_language"]): entry
                for entry in published
                if scenario == "multi"
                and corpus["pool"] == _POOL_OF_THE_PAPER
                and (entry["corpus"], entry["measure"]) == (corpus["name"], name)
            }
            table = Table(
                f"{corpus['title']}, pool {corpus['pool']}. {_TITLES[scenario]}. {name}, means with 95 % intervals",
                ["Pool, queries", *labels, *(["Published: base", "Published: aligned"] if stated else [])],
            )
            for (pool, query_language), by_model in rows.items():
                cells = [_cell(by_model.get(label), name) for label in labels]
                if stated:
                    entry = stated.get((pool[1], query_language)) if len(pool) == 2 else None
                    cells += [
                        Cell(DASH) if entry is None else Cell(measure_value(name, entry[key]), entry["model"])
                        for key in ("base", "aligned")
                    ]
                table.rows.append((f"{'+'.join(pool)}, {display_name(query_language)}", cells))
            yield table


def _cell(row: Mapping[str, Any] | None, name: str) -> Cell:
    if row is None:
        return Cell(DASH)
    queries = row["queries"]
    return Cell(
        measure_value(name, row["measures"].get(name), queries), interval(name, row["intervals"].get(name), queries)
    )


def _models(data: Mapping[str, Any]) -> list[str]:
    return [
        f"{model['label']}: {model['name']}, {model['precision']}, weights {str(model['sha256'])[:12]}, texts of up to "
        f"{model['max_tokens']} tokens"
        for model in data["models"]
    ]


def _facts(data: Mapping[str, Any], differences: Sequence[str]) -> list[str]:
    corpora = [
        f"{corpus['title']}: {', '.join(file['name'] for file in corpus['files'])}" for corpus in data["corpora"]
    ]
    return [*_models(data), *corpora, *data["missing"], *differences]


def render_paper_html(
    data: Mapping[str, Any], published: Sequence[Mapping[str, Any]], differences: Sequence[str]
) -> str:
    """The page as HTML, in one file.

    :param data: schema ``crossalign.paper/1``.
    :param published: the paper's figures, see `paper_tables`.
    :param differences: sentences on what differs from the paper.
    """
    return page(
        "paper.html.j2",
        title=_TITLE,
        tables=paper_tables(data, published),
        models=_models(data),
        corpora=data["corpora"],
        missing=data["missing"],
        differences=differences,
        glossary=meanings(name for names in SHOWN.values() for name in names),
        data={},
    )


def render_paper_markdown(
    data: Mapping[str, Any], published: Sequence[Mapping[str, Any]], differences: Sequence[str]
) -> str:
    """The page as Markdown; parameters as of `render_paper_html`."""
    tables = [markdown_table(table, caption=True) for table in paper_tables(data, published)]
    facts = markdown_list(_facts(data, differences))
    return "\n\n".join([f"# {_TITLE}", *tables, "## How it was measured, and what differs", facts]) + "\n"


def render_paper_latex(
    data: Mapping[str, Any], published: Sequence[Mapping[str, Any]], differences: Sequence[str]
) -> str:
    """The tables as LaTeX, without intervals and without packages; parameters as of `render_paper_html`."""
    lines = [f"% {_TITLE}", *(f"% {' '.join(text.split())}" for text in _facts(data, differences))]
    for table in paper_tables(data, published):
        lines += [
            "",
            r"\begin{table}",
            rf"\caption{{{_escaped(table.caption.replace(', means with 95 % intervals', ''))}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
            r"\hline",
            " & ".join(map(_escaped, table.columns)) + r" \\",
            r"\hline",
            *(" & ".join([_escaped(header), *(_escaped(cell.text) for cell in cells)]) + r" \\"
              for header, cells in table.rows),
            r"\hline",
            r"\end{tabular}",
            r"\end{table}",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)

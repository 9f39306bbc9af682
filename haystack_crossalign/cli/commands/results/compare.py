"""`crossalign compare`: results for the same queries, each compared with the first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.outputs import Outputs
from haystack_crossalign.errors import InputError
from haystack_crossalign.messages import one_line


def compare(
    baseline: Annotated[Path, typer.Argument(metavar="A.json", help="The result before.")],
    results: Annotated[list[Path], typer.Argument(metavar="B.json …", help="Results after, each compared with A.")],
    seed: opt.Seed = 0,
    samples: opt.Samples = 1000,
    permutations: Annotated[int, typer.Option(min=100, metavar="N", help="Permutations behind each p-value.")] = 10_000,
    json_file: opt.JsonFile = None,
    report: opt.ReportFile = None,
    markdown: opt.MarkdownFile = None,
    no_texts: opt.NoTexts = False,
    quiet: opt.Quiet = False,
) -> None:
    """Compare results with the first: differences with 95 % intervals and p-values, over the queries both have.

    p-values are adjusted by Holm's method over all rows of all results.
    """
    from haystack_crossalign.audit.compare import compare_with_baseline, several_to_dict
    from haystack_crossalign.audit.result import AuditResult
    from haystack_crossalign.cli.shared.terminal import console
    from haystack_crossalign.report.terminal import comparison_tables, comparisons_view, fitting

    files = [baseline, *results]
    outputs = Outputs(json=json_file, report=report, markdown=markdown)
    outputs.check(files)
    if len(results) > 1 and len(set(files)) < len(files):
        twice = next(file for file in files if files.count(file) > 1)
        raise InputError("the result is named twice", source=str(twice), allowed="each result once")
    loaded = [AuditResult.load(file) for file in files]
    try:
        comparisons = compare_with_baseline(
            loaded[0],
            loaded[1:],
            names=[str(file) for file in files],
            samples=samples,
            permutations=permutations,
            seed=seed,
        )
    except InputError as error:
        if not no_texts or error.field != "queries.text":
            raise
        # What it saw are the texts of a query, which may not show.
        raise InputError(error.problem, source=error.source, field=error.field, allowed=error.allowed) from None
    if no_texts:  # only now, since equal ids must mean equal texts
        loaded = [result.without_texts() for result in loaded]
    shown = [result.to_dict() for result in loaded] if report is not None else []
    if len(comparisons) == 1:
        data = comparisons[0].to_dict()
        parts = comparison_tables(data)
        texts = _rendered_pair(data, shown, outputs)
        if json_file is not None:
            texts["json"] = comparisons[0].to_json()
    else:
        import json

        data = several_to_dict(comparisons, _short_names(files))
        parts = comparisons_view(data)
        texts = _rendered_several(data, shown, outputs)
        if json_file is not None:
            texts["json"] = json.dumps(data, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    written = outputs.write(texts)
    if quiet:
        return
    out = console()
    for part in parts:
        out.print(fitting(part, out))
    for path in written:
        out.print(one_line(f"Wrote {path}"), soft_wrap=True, highlight=False, markup=False)


def _rendered_pair(data: dict[str, Any], shown: list[dict[str, Any]], outputs: Outputs) -> dict[str, str]:
    texts: dict[str, str] = {}
    if outputs.report is not None:
        from haystack_crossalign.report.html import render_html_comparison

        before, after = shown
        texts["report"] = render_html_comparison(data, before, after)
    if outputs.markdown is not None:
        from haystack_crossalign.report.markdown import render_markdown_comparison

        texts["markdown"] = render_markdown_comparison(data)
    return texts


def _rendered_several(data: dict[str, Any], shown: list[dict[str, Any]], outputs: Outputs) -> dict[str, str]:
    texts: dict[str, str] = {}
    if outputs.report is not None:
        from haystack_crossalign.report.html import render_html_comparisons

        texts["report"] = render_html_comparisons(data, shown)
    if outputs.markdown is not None:
        from haystack_crossalign.report.markdown import render_markdown_comparisons

        texts["markdown"] = render_markdown_comparisons(data)
    return texts


def _short_names(files: list[Path]) -> list[str]:
    """Names of the files without folder and suffix, where these tell them apart."""
    stems = [file.stem for file in files]
    return stems if len(set(stems)) == len(stems) else [str(file) for file in files]

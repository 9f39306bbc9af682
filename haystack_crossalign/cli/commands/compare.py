"""`crossalign compare`: two results for the same queries, before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.outputs import Outputs
from haystack_crossalign.messages import one_line


def compare(
    a: Annotated[Path, typer.Argument(metavar="A.json", help="The result before.")],
    b: Annotated[Path, typer.Argument(metavar="B.json", help="The result after.")],
    seed: opt.Seed = 0,
    samples: opt.Samples = 1000,
    permutations: Annotated[int, typer.Option(min=100, metavar="N", help="Permutations behind each p-value.")] = 10_000,
    json_file: opt.JsonFile = None,
    report: opt.ReportFile = None,
    markdown: opt.MarkdownFile = None,
    no_texts: opt.NoTexts = False,
    quiet: opt.Quiet = False,
) -> None:
    """Compare two results: differences with 95 % intervals and p-values, over the queries both have."""
    from haystack_crossalign.audit.compare import compare_results
    from haystack_crossalign.audit.result import AuditResult
    from haystack_crossalign.cli.shared.terminal import console

    outputs = Outputs(json=json_file, report=report, markdown=markdown)
    outputs.check([a, b])
    first, second = AuditResult.load(a), AuditResult.load(b)
    if no_texts:
        first, second = first.without_texts(), second.without_texts()
    comparison = compare_results(
        first, second, names=(str(a), str(b)), samples=samples, permutations=permutations, seed=seed
    )
    data = comparison.to_dict()
    texts: dict[str, str] = {}
    if json_file is not None:
        texts["json"] = comparison.to_json()
    if report is not None:
        from haystack_crossalign.report.html import render_html_comparison

        texts["report"] = render_html_comparison(data, first.to_dict(), second.to_dict())
    if markdown is not None:
        from haystack_crossalign.report.markdown import render_markdown_comparison

        texts["markdown"] = render_markdown_comparison(data)
    written = outputs.write(texts)
    if quiet:
        return
    from haystack_crossalign.report.terminal import comparison_tables, fitting

    out = console()
    for part in comparison_tables(data):
        out.print(fitting(part, out))
    for path in written:
        out.print(one_line(f"Wrote {path}"), soft_wrap=True, highlight=False, markup=False)

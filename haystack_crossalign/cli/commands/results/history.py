"""`crossalign history`: results over time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.outputs import check_outputs
from haystack_crossalign.errors import InputError
from haystack_crossalign.messages import one_line


def history(
    paths: Annotated[list[Path], typer.Argument(metavar="DIR|FILE …", help="Results, or folders of results.")],
    measures: Annotated[
        str | None,
        typer.Option(
            "--measures", metavar="NAMES", help="Default: Max@R_norm, Complete@10, NDCG@10, Top1[relevant,same]."
        ),
    ] = None,
    seed: opt.Seed = 0,
    permutations: Annotated[int, typer.Option(min=100, metavar="N", help="Permutations behind each p-value.")] = 10_000,
    report: opt.ReportFile = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write every value, one line per result and row.")
    ] = None,
    json_file: opt.JsonFile = None,
    quiet: opt.Quiet = False,
) -> None:
    """Show measures over time, and mark significant changes from one result to the next.

    The time of a result is its stamp (audit --stamp), else that of its file.
    """
    from haystack_crossalign.audit.over_time.history import read_history
    from haystack_crossalign.cli.shared.terminal import console
    from haystack_crossalign.files.writing import write_atomically

    outputs = [("--report", report), ("--csv", csv_file), ("--json", json_file)]
    targets = [(option, path) for option, path in outputs if path is not None]
    check_outputs(targets, [path for path in paths if not path.is_dir()])
    names = opt.split_names(measures)
    if names is not None:
        from haystack_crossalign.measures import parse_measure

        try:
            names = tuple(parse_measure(name).name for name in names)
        except InputError as error:
            raise InputError(error.problem, source="--measures", seen=error.seen, allowed=error.allowed) from error
    data = read_history(paths, measures=names, permutations=permutations, seed=seed)
    # Which files of a folder are results is known only now.
    check_outputs(targets, [Path(result["file"]) for result in data["results"]])
    if report is not None:
        from haystack_crossalign.report.history.page import render_html_history

        write_atomically(report, render_html_history(data))
    if csv_file is not None:
        from haystack_crossalign.report.history.page import history_csv

        write_atomically(csv_file, history_csv(data))
    if json_file is not None:
        write_atomically(json_file, json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n")
    if quiet:
        return
    from haystack_crossalign.report.terminal import fitting, history_view

    out = console()
    for part in history_view(data):
        out.print(fitting(part, out))
    for _, path in targets:
        out.print(one_line(f"Wrote {path}"), soft_wrap=True, highlight=False, markup=False)

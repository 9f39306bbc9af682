"""`crossalign benchmark paper`: the paper's evaluation of several models on one page."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.groups import with_groups
from haystack_crossalign.cli.shared.sections import SectionedCommand
from haystack_crossalign.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "paper"


class BenchmarkCommand(SectionedCommand):
    """``benchmark``, which hands ``benchmark paper`` over to a command of its own."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the command that is called.

        :param info_name: name by which it is called.
        :param args: its arguments.
        :param parent: context of the program.
        """
        if args[:1] == [NAME]:
            app = typer.Typer(
                add_completion=False, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
            )
            app.command(name=NAME, cls=SectionedCommand)(paper)
            command = typer.main.get_command(app)
            return command.make_context(f"{info_name} {NAME}", args[1:], parent=parent, **extra)
        return super().make_context(info_name, args, parent=parent, **extra)


@with_groups(without=("model", "embedder", "similarity"))
def paper(
    *,
    models: Annotated[
        list[str],
        typer.Option(
            "--model", metavar="[LABEL=]NAME", help="Hub name or folder: base, repaired, trained. Repeatable."
        ),
    ],
    data: opt.CorporaFolder = None,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder of paper.html, .md, .tex and .json.")] = Path(
        "paper"
    ),
    languages: Annotated[
        str, typer.Option(metavar="zh,th,…", help="Languages to pair with English; all of them also make one pool.")
    ] = "ar,zh,es,th,vi",
    pool: Annotated[
        str,
        typer.Option(metavar="questions|passages", help="One document per question as in the paper, or per passage."),
    ] = "questions",
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the rows of earlier runs. Default: the folder cache in --output."),
    ] = None,
    model: opt.ModelFlags,
    samples: opt.Samples = 1000,
    seed: opt.Seed = 0,
    quiet: opt.Quiet = False,
) -> None:
    """Measure models as the paper does, on one page: XQuAD and Belebele, as far as they are in --data.

    Mixed pools of English and each language, and of all together; pools in the language of the queries and in another.
    The figures that the paper publishes stand beside ours. Rows are kept in a cache: a further model costs its own.
    """
    from haystack_crossalign.api.paper.measure import PaperOptions, measure_models, paper_json
    from haystack_crossalign.api.paper.published import DIFFERENCES, PUBLISHED
    from haystack_crossalign.cli.shared.progress import Stages
    from haystack_crossalign.cli.shared.terminal import console
    from haystack_crossalign.data.corpora.kinds.parallel import POOLS
    from haystack_crossalign.data.corpora.registry import DATA_VARIABLE, data_folder
    from haystack_crossalign.files.writing import write_atomically
    from haystack_crossalign.report.paper import render_paper_html, render_paper_latex, render_paper_markdown

    if pool not in POOLS:
        raise InputError("unknown pool", source="--pool", seen=pool, allowed=", ".join(POOLS))
    folder = data_folder(data)
    if folder is None or not folder.is_dir():
        raise InputError(
            "no folder of corpora", source="--data", seen=None if folder is None else str(folder),
            allowed=f"a folder with xquad/ or Belebele/, or {DATA_VARIABLE}",
        )  # fmt: skip
    model.check()
    if output.exists() and not output.is_dir():
        raise InputError("is not a folder", source="--output", seen=str(output), allowed="a folder, new or not")
    opened: dict[str, Callable[[], Any]] = {}
    for entry in models:
        label, name = _labelled(entry)
        if label in opened:
            raise InputError(
                "two models with one label", source="--model", seen=label, allowed="LABEL=NAME with others"
            )
        opened[label] = replace(model, model=name).open
    options = PaperOptions(opt.split_names(languages) or (), pool, samples, seed)
    with Stages(show=not quiet) as progress:
        measured = measure_models(
            folder, opened, options, cache=output / "cache" if cache is None else cache, progress=progress
        )
    output.mkdir(parents=True, exist_ok=True)
    published = [asdict(entry) for entry in PUBLISHED]
    texts = {
        "html": render_paper_html(measured, published, DIFFERENCES),
        "md": render_paper_markdown(measured, published, DIFFERENCES),
        "tex": render_paper_latex(measured, published, DIFFERENCES),
        "json": paper_json(measured, published, DIFFERENCES),
    }
    for ending, text in texts.items():
        write_atomically(output / f"paper.{ending}", text)
        if not quiet:
            console().print(f"Wrote {output / f'paper.{ending}'}", markup=False, highlight=False, soft_wrap=True)
    for sentence in measured["missing"]:
        if not quiet:
            console().print(sentence, markup=False, highlight=False, soft_wrap=True)


def _labelled(entry: str) -> tuple[str, str]:
    """Label and name of a model; the label is the last part of the name if none is given."""
    label, equals, name = entry.partition("=")
    if equals and label and name:
        return label, name
    return Path(entry).name if Path(entry).is_dir() else entry, entry

"""The templates of the HTML pages, and the files that are embedded in them."""

from __future__ import annotations

from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined

from haystack_crossalign.languages import display_name
from haystack_crossalign.report.content.charts import SPLIT
from haystack_crossalign.report.content.words import count, measure_value, nothing_found
from haystack_crossalign.report.lines_svg import swatch


@cache
def templates() -> Environment:
    """The Jinja environment of all pages: values are escaped, and an undefined name is an error."""
    environment = Environment(
        loader=PackageLoader("haystack_crossalign.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        display_name=display_name,
        split=SPLIT,
        count=count,
        measure_value=measure_value,
        nothing_found=nothing_found,
        swatch=swatch,
    )
    return environment


@cache
def asset(name: str) -> str:
    """The text of a file under ``assets/``.

    :param name: its name, with ``/`` between folder and file.
    """
    path = resources.files("haystack_crossalign.report").joinpath("assets")
    return path.joinpath(*name.split("/")).read_text(encoding="utf-8")

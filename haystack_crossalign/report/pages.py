"""The reports of a comparison that are written next to a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from haystack_crossalign.report.html import render_html_comparison
from haystack_crossalign.report.markdown import render_markdown_comparison


def comparison_pages(
    comparison: Mapping[str, Any],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    dial: Mapping[str, Any] | None = None,
    change: str | None = None,
) -> dict[str, str]:
    """The comparison as an HTML page and as a Markdown summary, by file name.

    :param comparison: schema ``crossalign.comparison/1``.
    :param before: the audit result before.
    :param after: the audit result after.
    :param dial: ``dial`` of a repair's result, None if there is none.
    :param change: a sentence on what changed the model in between.
    """
    return {
        "report.html": render_html_comparison(comparison, before, after, dial=dial, change=change),
        "report.md": render_markdown_comparison(comparison, dial=dial, change=change),
    }

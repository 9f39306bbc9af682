"""Reports of results, given as plain data: HTML pages, Markdown, JUnit XML, tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haystack_crossalign._lazy import lazy_names

if TYPE_CHECKING:
    from haystack_crossalign.report.html import render_html, render_html_comparison
    from haystack_crossalign.report.junit import junit_xml
    from haystack_crossalign.report.markdown import render_markdown, render_markdown_comparison
    from haystack_crossalign.report.notebook import notebook_html
    from haystack_crossalign.report.pages import comparison_pages

__all__ = [
    "comparison_pages",
    "junit_xml",
    "notebook_html",
    "render_html",
    "render_html_comparison",
    "render_markdown",
    "render_markdown_comparison",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "comparison_pages": "pages",
        "junit_xml": "junit",
        "notebook_html": "notebook",
        "render_html": "html",
        "render_html_comparison": "html",
        "render_markdown": "markdown",
        "render_markdown_comparison": "markdown",
    },
)

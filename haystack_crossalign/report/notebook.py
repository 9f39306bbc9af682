"""An audit in a notebook: the finding and the headline table of each pool, as a short piece of HTML."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from haystack_crossalign.report.content.finding import finding
from haystack_crossalign.report.content.tables import Cell, Table, headline_table
from haystack_crossalign.report.content.views import views


def notebook_html(result: Mapping[str, Any]) -> str:
    """HTML without styles and scripts; all texts of the data are escaped.

    :param result: an audit result, schema ``crossalign.audit/1``.
    """
    sentences = [f"<p>{escape(sentence)}</p>" for sentence in finding(result)]
    tables = [_table(headline_table(result, view)) for view in views(result)] if result["rows"] else []
    return "\n".join([*sentences, *tables])


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    body = "".join(f"<tr><th>{escape(header)}</th>{''.join(map(_cell, cells))}</tr>" for header, cells in table.rows)
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    return (
        f"<table><caption>{escape(table.caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        + (f"<ol>{notes}</ol>" if notes else "")
    )


def _cell(cell: Cell) -> str:
    note = "" if cell.note is None else f"<sup>{cell.note}</sup>"
    detail = f"<br><small>{escape(cell.detail)}</small>" if cell.detail else ""
    return f"<td>{escape(cell.text)}{note}{detail}</td>"

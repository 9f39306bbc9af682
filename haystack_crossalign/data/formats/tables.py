"""Tables with named columns: tab-separated text and Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.files.reading import Source, TextFile, source_of
from haystack_crossalign.files.records import Record


def tsv_records(file: TextFile, needed: Sequence[str], columns: str | None = None) -> Iterator[Record]:
    """Read the rows of a tab-separated file whose first line names the columns; empty cells are left out.

    :param file: the file.
    :param needed: required columns.
    :param columns: allowed columns, in words, for messages; None to show the required ones.
    :raises InputError: if the first line lacks required columns, or a row has a different number of cells.
    """
    header: list[str] | None = None
    for line, text in file:
        cells = text.split("\t")
        if header is None:
            header = [cell.strip() for cell in cells]
            if len(set(header)) < len(header) or not set(needed) <= set(header):
                raise InputError(
                    "the first line must name the columns",
                    source=file.path,
                    line=line,
                    seen=header,
                    allowed=columns or ", ".join(needed),
                )
            continue
        if len(cells) != len(header):
            raise InputError(
                "wrong number of columns",
                source=file.path,
                line=line,
                seen=len(cells),
                allowed=f"{len(header)}; no tab or line end in a cell, not in quotes either",
            )
        yield Record({name: _unquoted(cell) for name, cell in zip(header, cells, strict=True) if cell}, file.path, line)


def _unquoted(cell: str) -> str:
    """Remove the quotes that pandas and spreadsheets put around a cell with quotes in it, and undouble those.

    TSV itself has no quoting: a cell counts as quoted only if it has inner quotes and all of them come in pairs.
    """
    inner = cell[1:-1]
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' in inner and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if quoted else cell


def parquet_records(path: Path) -> tuple[list[Record], Source]:
    """Read the rows of a Parquet file, and its name and hash.

    :param path: the file.
    :raises InputError: for a file that is not Parquet.
    :raises ExternalError: without the extra ``datasets``.
    """
    arrow, parquet = import_arrow(path)
    source = source_of(path)
    try:
        rows = parquet.read_table(path).to_pylist()
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"not a Parquet file, or one with text that is not UTF-8 ({error})", source=path) from error
    return [Record(row, path, number) for number, row in enumerate(rows, start=1)], source


def import_arrow(path: Path) -> tuple[Any, Any]:
    """The modules ``pyarrow``, with its functions on columns, and ``pyarrow.parquet``.

    :param path: the file to read, for the message.
    :raises ExternalError: without the extra ``datasets``.
    """
    try:
        import_module("pyarrow.compute")
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        msg = f"{path}: Parquet needs the extra 'datasets': pip install 'haystack-crossalign[datasets]'"
        raise ExternalError(msg) from error

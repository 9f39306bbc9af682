"""Repair without training: remove the directions in which languages differ from the embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haystack_crossalign._lazy import lazy_names

if TYPE_CHECKING:
    from haystack_crossalign.repair.fit import RepairOutcome, fit_repair
    from haystack_crossalign.repair.matrix_file import read_matrix_file, write_matrix_file
    from haystack_crossalign.repair.options import RepairOptions
    from haystack_crossalign.repair.output import open_model, write_repair
    from haystack_crossalign.repair.sample import make_sample
    from haystack_crossalign.repair.texts import read_repair_texts

__all__ = [
    "RepairOptions",
    "RepairOutcome",
    "fit_repair",
    "make_sample",
    "open_model",
    "read_matrix_file",
    "read_repair_texts",
    "write_matrix_file",
    "write_repair",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "RepairOptions": "options",
        "RepairOutcome": "fit",
        "fit_repair": "fit",
        "make_sample": "sample",
        "open_model": "output",
        "read_matrix_file": "matrix_file",
        "read_repair_texts": "texts",
        "write_matrix_file": "matrix_file",
        "write_repair": "output",
    },
)

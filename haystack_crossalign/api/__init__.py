"""The product as Python functions, which are exported by `haystack_crossalign` and used by the command line.

Every function fills in the provenance of its result, so an audit takes three lines: read a collection, audit it, look
at the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from haystack_crossalign._lazy import lazy_names

if TYPE_CHECKING:
    from haystack_crossalign.api.collection import audit_collection, audit_run
    from haystack_crossalign.api.gaps import gaps_of_files, gaps_of_index
    from haystack_crossalign.api.index import audit_index
    from haystack_crossalign.api.model_options import ModelOptions
    from haystack_crossalign.api.models import repair_model, train_model
    from haystack_crossalign.api.requests.files import FilesRequest
    from haystack_crossalign.api.requests.index import IndexRequest
    from haystack_crossalign.api.requests.judged import Measured
    from haystack_crossalign.api.upgrade import upgrade_index

__all__ = [
    "FilesRequest",
    "IndexRequest",
    "Measured",
    "ModelOptions",
    "audit_collection",
    "audit_index",
    "audit_run",
    "gaps_of_files",
    "gaps_of_index",
    "repair_model",
    "train_model",
    "upgrade_index",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "FilesRequest": "requests.files",
        "IndexRequest": "requests.index",
        "Measured": "requests.judged",
        "ModelOptions": "model_options",
        "audit_collection": "collection",
        "audit_index": "index",
        "audit_run": "collection",
        "gaps_of_files": "gaps",
        "gaps_of_index": "gaps",
        "repair_model": "models",
        "train_model": "models",
        "upgrade_index": "upgrade",
    },
)

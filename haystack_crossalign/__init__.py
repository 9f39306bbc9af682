"""haystack-crossalign: find, measure and repair language bias in multilingual search on Haystack and OpenSearch.

An audit takes three lines::

    import haystack_crossalign as ca
    collection = ca.read_collection("documents.jsonl", "queries.jsonl")
    result = ca.audit_collection(collection, "intfloat/multilingual-e5-small")

Names are imported when they are first used, so importing the package itself loads nothing heavy. It registers the
package's modules with Haystack's deserialization allow-list, so that pipelines in YAML may name its components.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from haystack_crossalign._lazy import lazy_names
from haystack_crossalign._version import __version__

if TYPE_CHECKING:
    from haystack_crossalign import audit, components, data, measures, opensearch, ranks, repair, report, training
    from haystack_crossalign.api import (
        FilesRequest,
        IndexRequest,
        Measured,
        ModelOptions,
        audit_collection,
        audit_index,
        audit_run,
        gaps_of_files,
        gaps_of_index,
        repair_model,
        train_model,
        upgrade_index,
    )
    from haystack_crossalign.audit.compare import Comparison, compare_results
    from haystack_crossalign.audit.over_time.history import read_history
    from haystack_crossalign.audit.result import AuditResult, read_result
    from haystack_crossalign.data.collection import JudgedCollection
    from haystack_crossalign.data.corpora.belebele import read_belebele
    from haystack_crossalign.data.corpora.xquad import read_xquad
    from haystack_crossalign.data.formats.beir import read_beir
    from haystack_crossalign.data.formats.read import read_collection
    from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError
    from haystack_crossalign.models.encoder import Encoder

__all__ = [
    "AuditResult",
    "Comparison",
    "CrossAlignError",
    "Encoder",
    "ExternalError",
    "FilesRequest",
    "IndexRequest",
    "InputError",
    "JudgedCollection",
    "Measured",
    "ModelOptions",
    "__version__",
    "audit",
    "audit_collection",
    "audit_index",
    "audit_run",
    "compare_results",
    "components",
    "data",
    "gaps_of_files",
    "gaps_of_index",
    "measures",
    "opensearch",
    "ranks",
    "read_beir",
    "read_belebele",
    "read_collection",
    "read_history",
    "read_result",
    "read_xquad",
    "repair",
    "repair_model",
    "report",
    "train_model",
    "training",
    "upgrade_index",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AuditResult": "audit.result",
        "Comparison": "audit.compare",
        "CrossAlignError": "errors",
        "Encoder": "models.encoder",
        "ExternalError": "errors",
        "FilesRequest": "api.requests.files",
        "IndexRequest": "api.requests.index",
        "InputError": "errors",
        "JudgedCollection": "data.collection",
        "Measured": "api.requests.judged",
        "ModelOptions": "api.model_options",
        "audit": "",
        "audit_collection": "api.collection",
        "audit_index": "api.index",
        "audit_run": "api.collection",
        "compare_results": "audit.compare",
        "components": "",
        "data": "",
        "gaps_of_files": "api.gaps",
        "gaps_of_index": "api.gaps",
        "measures": "",
        "opensearch": "",
        "ranks": "",
        "read_beir": "data.formats.beir",
        "read_belebele": "data.corpora.belebele",
        "read_collection": "data.formats.read",
        "read_history": "audit.over_time.history",
        "read_result": "audit.result",
        "read_xquad": "data.corpora.xquad",
        "repair": "",
        "repair_model": "api.models",
        "report": "",
        "train_model": "api.models",
        "training": "",
        "upgrade_index": "api.upgrade",
    },
)

_ALLOWLIST = "HAYSTACK_DESERIALIZATION_ALLOWLIST"


def _register_with_haystack() -> None:
    # Haystack reads the variable at every check, so this works whether Haystack was imported or not. Its own function
    # for this purpose would require importing it, and torch with it.
    pattern = f"{__name__}.*"
    patterns = [part.strip() for part in os.environ.get(_ALLOWLIST, "").split(",") if part.strip()]
    if pattern not in patterns:
        os.environ[_ALLOWLIST] = ",".join([*patterns, pattern])


_register_with_haystack()

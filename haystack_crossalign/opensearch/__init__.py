"""Communication with an OpenSearch cluster; read-only unless a module says otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haystack_crossalign._lazy import lazy_names

if TYPE_CHECKING:
    from haystack_crossalign.opensearch.audit.options import AuditOptions
    from haystack_crossalign.opensearch.audit.run import IndexAudit
    from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
    from haystack_crossalign.opensearch.connection.connect import open_client
    from haystack_crossalign.opensearch.connection.settings import LiveSettings, read_settings
    from haystack_crossalign.opensearch.doctor.diagnose import diagnose

__all__ = [
    "AuditOptions",
    "IndexAudit",
    "LiveSettings",
    "ReadOnlyClient",
    "diagnose",
    "open_client",
    "read_settings",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AuditOptions": "audit.options",
        "IndexAudit": "audit.run",
        "LiveSettings": "connection.settings",
        "ReadOnlyClient": "connection.client",
        "diagnose": "doctor.diagnose",
        "open_client": "connection.connect",
        "read_settings": "connection.settings",
    },
)

"""An index that query pipelines ask, and pipelines as files."""

from retrieval_fixtures import client, index, nowhere, seen, written

__all__ = ["client", "index", "nowhere", "seen", "written"]

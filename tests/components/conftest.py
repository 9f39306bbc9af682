"""An index that query pipelines ask, pipelines as files, and a tiny model."""

from model_fixtures import tiny_model_folder
from retrieval_fixtures import client, index, nowhere, seen, written

__all__ = ["client", "index", "nowhere", "seen", "tiny_model_folder", "written"]

#!/usr/bin/env bash
# qdrant-haystack 13.1.0: a filter for documents without a meta field, {"operator": "==", "value": None}, which Haystack's
# in-memory store answers with those documents, raises a FilterError; so does the negated one.
#
# Seen: in memory, == None gives the document without the field and != None the one with it; Qdrant refuses both.
# Expected by a user: the same documents from every store, as the filters of Haystack are one language for all.
# Here: documents without a group are read from such a store without a filter (haystack_crossalign/pipelines/store.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check qdrant-haystack==13.1.0 haystack-ai==3.4.0
HAYSTACK_TELEMETRY_ENABLED=False "$folder/venv/bin/python" - <<'PY'
import sys

from haystack import Document
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

documents = [
    Document(id="1", content="a", meta={"group": "g"}, embedding=[1.0, 0.0]),
    Document(id="2", content="b", meta={}, embedding=[0.0, 1.0]),
]
seen = {}
for store in (InMemoryDocumentStore(), QdrantDocumentStore(location=":memory:", embedding_dim=2)):
    store.write_documents(documents)
    for operator in ("==", "!="):
        condition = {"field": "meta.group", "operator": operator, "value": None}
        try:
            answer = [document.meta.get("group") for document in store.filter_documents(condition)]
        except Exception as error:
            answer = type(error).__name__
        seen[type(store).__name__, operator] = answer
        print(type(store).__name__, operator, answer)
expected = {
    ("InMemoryDocumentStore", "=="): [None],
    ("InMemoryDocumentStore", "!="): ["g"],
    ("QdrantDocumentStore", "=="): "FilterError",
    ("QdrantDocumentStore", "!="): "FilterError",
}
sys.exit(0 if seen == expected else "the behavior has changed")
PY

#!/usr/bin/env bash
# haystack-ai 3.4.1: the BM25 retrieval of InMemoryDocumentStore cuts Hindi words at every vowel sign and drops the sign, so
# that words that differ only in vowels are one term. Chinese is cut into single characters; Thai is cut at its signs too.
#
# Seen: the query "lentils" (dal) scores a document about lentils 0.77 and one about the heart (dil) 0.73; "dal", "dil"
# and "del" give the same two terms.
# Expected by a user: words as terms in languages that put spaces between them.
# Here: docs say that an in-memory pipeline's BM25 is no baseline for Hindi or Thai; use an analyzer of the search engine.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check haystack-ai==3.4.1
HAYSTACK_TELEMETRY_ENABLED=False "$folder/venv/bin/python" - <<'PY'
import sys
from haystack import Document
from haystack.document_stores.in_memory import InMemoryDocumentStore

store = InMemoryDocumentStore()
store.write_documents(
    [
        Document(id="lentils", content="\u0926\u093e\u0932 \u092e\u0947\u0902 \u0928\u092e\u0915"),
        Document(id="heart", content="\u0926\u093f\u0932 \u0915\u0940 \u092c\u093e\u0924"),
        Document(id="sky", content="\u0928\u0940\u0932\u093e \u0906\u0915\u093e\u0936"),
    ]
)
scores = {hit.id: hit.score for hit in store.bm25_retrieval("\u0926\u093e\u0932", top_k=3)}
print({name: round(score, 3) for name, score in scores.items()})
same = list(scores) == ["lentils", "heart", "sky"] and scores["heart"] > 0.9 * scores["lentils"] > 3 * scores["sky"]
sys.exit(0 if same else "the behavior has changed")
PY

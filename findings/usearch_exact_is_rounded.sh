#!/usr/bin/env bash
# usearch 2.26.6: an Index keeps vectors as bfloat16 unless told otherwise, and search(..., exact=True) on it is a full scan
# of these rounded vectors. "Exact" is about the scan, not about the order.
#
# Seen: 2,000 vectors around one direction (as sentence embeddings are), 50 queries: the default index gives the true
# ten best in order for 28 of 50 queries with exact=True; with dtype="f32", and by usearch.index.search, for 50 of 50.
# Expected by a user: float32 in, exact=True, and the order of the float32 vectors out.
# Here: ranks are settled in float64 wherever rounding could change them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check usearch==2.26.6 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import sys
import numpy
from usearch.index import Index, MetricKind, search

random = numpy.random.default_rng(0)
center = random.normal(size=384)


def around(count):
    vectors = (center + 0.3 * random.normal(size=(count, 384))).astype(numpy.float32)
    return vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)


documents, queries = around(2000), around(50)
true = numpy.argsort(-(queries.astype(float) @ documents.astype(float).T), axis=1)[:, :10]


def in_order(keys):
    return int((keys == true).all(axis=1).sum())


agreeing = {}
for name, options in (("default", {}), ("f32", {"dtype": "f32"})):
    index = Index(ndim=384, metric="cos", **options)
    index.add(numpy.arange(2000), documents)
    agreeing[name] = in_order(index.search(queries, 10, exact=True).keys)
agreeing["without an index"] = in_order(search(documents, queries, 10, MetricKind.Cos, exact=True).keys)
print("queries of 50 with the true ten best in order:", agreeing)
same = agreeing["default"] < 40 and agreeing["f32"] == agreeing["without an index"] == 50
sys.exit(0 if same else "the behavior has changed")
PY

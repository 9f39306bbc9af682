#!/usr/bin/env bash
# faiss-cpu 1.15.1: IndexFlatIP keeps the first k of equal scores, but returns them from the last to the first. So among
# equal scores the best ten of a search for 100 and the result of a search for 10 have no document in common.
#
# Seen: 500 equal rows; k=10 -> 9, 8, 7 ... 0; k=100 -> 99, 98, 97 ... 0. IndexFlatL2 on the same rows -> 0, 1, 2 ... for both.
# Expected by a user: an exact index gives one order, of which every k is a prefix.
# Here: ties are broken by a hash of the document id, whatever the depth, and bounds over all orders are reported.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check faiss-cpu==1.15.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import sys
import faiss
import numpy

rows = numpy.ones((500, 8), dtype=numpy.float32)
product, distance = faiss.IndexFlatIP(8), faiss.IndexFlatL2(8)
product.add(rows)
distance.add(rows)
ten, hundred = (product.search(rows[:1], k)[1][0].tolist() for k in (10, 100))
print("inner product, k=10:            ", ten)
print("inner product, k=100, first ten:", hundred[:10])
by_distance = [distance.search(rows[:1], k)[1][0][:10].tolist() for k in (10, 100)]
print("L2, k=10 and k=100, first ten:  ", *by_distance)
same = (
    ten == list(range(9, -1, -1))
    and hundred == list(range(99, -1, -1))
    and not set(ten) & set(hundred[:10])
    and by_distance[0] == by_distance[1] == list(range(10))
)
sys.exit(0 if same else "the behavior has changed")
PY

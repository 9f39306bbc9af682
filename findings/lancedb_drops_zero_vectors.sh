#!/usr/bin/env bash
# lancedb 0.40.0: a full scan by cosine leaves rows with a zero vector out of its result, without a word; by l2 and dot the
# row is there. A search with a limit of the whole table returns fewer rows than the table has.
#
# Seen: three rows, one of them zero, limit 3: cosine 2 rows; l2 3 rows; dot 3 rows.
# Expected by a user: every row, or an error that names the row (qdrant-client's local mode gives such a row the score 0).
# Here: a zero vector under cosine is an error that names the document.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check lancedb==0.40.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import sys
import lancedb

table = lancedb.connect("tables").create_table(
    "pool",
    [{"id": 0, "vector": [0.0, 0.0]}, {"id": 1, "vector": [1.0, 0.0]}, {"id": 2, "vector": [-1.0, 0.0]}],
)
rows = {
    name: sorted(row["id"] for row in table.search([1.0, 0.0]).distance_type(name).limit(3).to_list())
    for name in ("cosine", "l2", "dot")
}
print(rows)
sys.exit(0 if rows == {"cosine": [1, 2], "l2": [0, 1, 2], "dot": [0, 1, 2]} else "the behavior has changed")
PY

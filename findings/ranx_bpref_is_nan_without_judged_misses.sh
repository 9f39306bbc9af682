#!/usr/bin/env bash
# ranx 0.3.21: bpref of a query without a judged document of grade 0 is NaN, and so is the mean over all queries if one of
# them is such a query. No warning that names the query.
#
# Seen: two queries, judged alike but for one document of grade 0 in the first; the run finds all relevant documents first.
#   Each alone: 1.0 and nan; together nan. trec_eval's own code (ir_measures 0.4.3 through pytrec_eval-terrier 0.5.11): 1.0.
# Expected by a user: a document that nothing judged irrelevant stands above loses nothing; one query cannot void a mean.
# Judgments by parallel groups hold relevant documents only, so there every mean is NaN. Here: bpref is not offered.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  ranx==0.3.21 ir-measures==0.4.3 pytrec_eval-terrier==0.5.11
"$folder/venv/bin/python" -W ignore - <<'PY'
import math

import ir_measures
from ranx import Qrels, Run, evaluate

JUDGED = {"q1": {"a": 1, "b": 1, "x": 0}, "q2": {"c": 1, "d": 1}}
FOUND = {"q1": {"a": 0.9, "b": 0.8, "x": 0.7}, "q2": {"c": 0.9, "d": 0.8}}


def both(*queries):
    judged = {query: JUDGED[query] for query in queries}
    found = {query: FOUND[query] for query in queries}
    peer = ir_measures.calc_aggregate([ir_measures.Bpref], judged, found)[ir_measures.Bpref]
    return float(evaluate(Qrels(judged), Run(found), "bpref")), peer


first, second, together = both("q1"), both("q2"), both("q1", "q2")
print(f"ranx, ir_measures: q1 {first}, q2 {second}, both {together}")
assert first == (1.0, 1.0), first
assert math.isnan(second[0]), second
assert second[1] == 1.0, second
assert math.isnan(together[0]), together
assert together[1] == 1.0, together
PY

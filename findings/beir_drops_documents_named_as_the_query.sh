#!/usr/bin/env bash
# beir 2.2.0: EvaluateRetrieval.evaluate removes from the results, before it measures, every document whose id is that of
# its query, judged relevant or not (ignore_identical_ids=True is the default; a line of the log at level INFO says so), and
# it removes them from the caller's own dictionary, so that they are missing afterwards, too.
#
# Seen: two queries, each with its only relevant document at rank 1; the first query and its document are both called "1":
#   NDCG@10 0.5, and the document is gone from the results that were passed in.
# Expected by a user: 1.0. Ids of queries and of documents name different things; numbered lists of both share many.
# Here: `read_beir` and `audit --beir` keep such documents. docs/api.md names the difference.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# Of its dependencies only these are needed to evaluate.
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps \
  beir==2.2.0 pytrec_eval-terrier==0.5.11 numpy==2.4.6 tqdm==4.67.1
"$folder/venv/bin/python" - <<'PY'
import sys
from beir.retrieval.evaluation import EvaluateRetrieval

qrels = {"1": {"1": 1}, "2": {"4": 1}}
results = {"1": {"1": 0.9, "3": 0.5}, "2": {"4": 0.9, "3": 0.2}}
ndcg = EvaluateRetrieval.evaluate(qrels, results, [10])[0]
kept = EvaluateRetrieval.evaluate(
    qrels, {"1": {"1": 0.9, "3": 0.5}, "2": {"4": 0.9, "3": 0.2}}, [10], ignore_identical_ids=False
)[0]
print(ndcg, results, kept)
same = ndcg == {"NDCG@10": 0.5} and results["1"] == {"3": 0.5} and kept == {"NDCG@10": 1.0}
sys.exit(0 if same else "the behavior has changed")
PY

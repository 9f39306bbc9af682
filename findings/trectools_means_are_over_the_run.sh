#!/usr/bin/env bash
# trectools 0.0.50: means are over the queries of the run. A judged query that the run lacks, since nothing was found, is
# left out of the mean; a query of the run that nobody judged counts 0 in it. So two searches are compared over different
# queries, and one that finds nothing for its worst queries looks better than one that finds something wrong.
#
# Seen: three judged queries; a run that answers the first at rank 1 and the second at rank 2, and has no hit for the
#   third: MRR 0.75. With one wrong hit for the third: 0.5. ir_measures 0.4.3 says 0.5 for both. Where the first query
#   alone is judged, the same run has MRR 0.5; ir_measures says 1.0.
# Expected by a user: a mean over the judged queries, whatever the run found.
# Here: a judged query without hits counts, and queries that a run lacks are named.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check trectools==0.0.50 ir-measures==0.4.3
"$folder/venv/bin/python" - "$folder" <<'PY'
import sys
from pathlib import Path

import ir_measures
from trectools import TrecEval, TrecQrel, TrecRun

folder = Path(sys.argv[1])
RUN = "q1 Q0 a 1 0.9 tag\nq2 Q0 x 1 0.9 tag\nq2 Q0 b 2 0.8 tag\n"


def mrr(qrels, run):
    (folder / "qrels").write_text(qrels)
    (folder / "run").write_text(run)
    measured = ir_measures.calc_aggregate(
        [ir_measures.RR],
        ir_measures.read_trec_qrels(str(folder / "qrels")),
        ir_measures.read_trec_run(str(folder / "run")),
    )
    return TrecEval(TrecRun(str(folder / "run")), TrecQrel(str(folder / "qrels"))).get_reciprocal_rank(), measured[
        ir_measures.RR
    ]


judged = "q1 0 a 1\nq2 0 b 1\nq3 0 c 1\n"
nothing = mrr(judged, RUN)
wrong = mrr(judged, RUN + "q3 Q0 y 1 0.9 tag\n")
unjudged = mrr("q1 0 a 1\n", RUN)
print(f"no hit for the third query: {nothing}; a wrong one: {wrong}; first query alone judged: {unjudged}")
assert nothing == (0.75, 0.5), nothing
assert wrong == (0.5, 0.5), wrong
assert unjudged == (0.5, 1.0), unjudged
PY

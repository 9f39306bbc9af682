#!/usr/bin/env bash
# ir_measures 0.4.3: RR and RR@10 of one list of three documents differ where scores tie. The two are computed by different
# engines, one of which orders equal scores by falling document id and the other by rising id.
#
# Seen: documents a, b, c with equal scores, a relevant: RR 0.333, RR@10 1.0, P@1 0.0, in one call.
# Expected by a user: a cutoff beyond the end of the list changes nothing, and RR@10 = 1 means P@1 = 1.
# Here: one order for all measures of a run; what ties could change is reported with its bounds.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ir_measures==0.4.3 pytrec_eval-terrier==0.5.11 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import sys
import ir_measures
from ir_measures import P, RR

qrels = [ir_measures.Qrel("1", "a", 1)]
run = [ir_measures.ScoredDoc("1", document, 1.0) for document in "abc"]
values = ir_measures.calc_aggregate([RR, RR @ 10, P @ 1], qrels, run)
print({str(measure): round(value, 3) for measure, value in values.items()})
same = abs(values[RR] - 1 / 3) < 1e-6 and values[RR @ 10] == 1.0 and values[P @ 1] == 0.0
sys.exit(0 if same else "the behavior has changed")
PY

#!/usr/bin/env bash
# haystack-ai 3.4.0: DocumentJoiner(join_mode="distribution_based_rank_fusion") brings the scores of each list to a common
# scale, about 0 to 1, but leaves a list as it is if all its scores are equal, hence every list of one hit. A BM25 score of
# 7 then stands above every vector hit, whatever these are. (3.0.0 gave such a list 0 instead, the other extreme.)
#
# Seen: three vector hits with 0.9, 0.8, 0.7; BM25 finds one document, with 7.0: it is first, by 7.0 against 0.70.
#   With a second BM25 hit at 6.999 the same document is second, with 0.67.
# Expected by a user: one hit more or less, at practically the same score, does not decide between the two lists.
# It matters most across languages: a query of another language often shares one word, a name or a number, with one
# document. Here: the hybrid pipelines use reciprocal rank fusion, which takes no scores.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 3.0.0 3.4.0; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "haystack-ai==$version"
  HAYSTACK_TELEMETRY_ENABLED=False "$folder/$version/bin/python" - "$version" <<'PY'
import sys
from haystack import Document
from haystack.components.joiners import DocumentJoiner


def fused(*lexical):
    lists = [[("a", 0.9), ("b", 0.8), ("e", 0.7)], list(lexical)]
    documents = [[Document(id=name, content=name, score=score) for name, score in hits] for hits in lists]
    joined = DocumentJoiner(join_mode="distribution_based_rank_fusion").run(documents=documents)["documents"]
    return [(document.id, round(document.score, 2)) for document in joined]


alone, two = fused(("c", 7.0)), fused(("c", 7.0), ("d", 6.999))
print(sys.argv[1], alone, two)
wanted = {"3.0.0": ("c", 0.0), "3.4.0": ("c", 7.0)}[sys.argv[1]]
place = {"3.0.0": -1, "3.4.0": 0}[sys.argv[1]]
sys.exit(0 if alone[place] == wanted and two[1] == ("c", 0.67) else "the behavior has changed")
PY
done

#!/usr/bin/env bash
# pycld2 0.42 (CLD2): hintLanguage, meant as a prior for text of unknown language, decides alone between close languages.
# An Indonesian sentence that is named Indonesian without a hint is named Malay with the hint "ms", and called reliable.
#
# Seen: detect(text) -> id; detect(text, hintLanguage="ms") -> ms, reliable.
# So a pool's languages must not be passed as hints: they turn a question into its answer.
# Here: haystack_crossalign/text passes no hint, and lets the pool decide only between languages left open.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pycld2==0.42
"$folder/venv/bin/python" - <<'PY'
import sys
import pycld2

texts = {
    ("id", "ms"): "Hari apa saja museum itu tutup dan kapan dibuka kembali untuk pengunjung dari luar kota?",
    ("id", "id"): "Hari apa saja museum itu tutup dan kapan dibuka kembali untuk pengunjung dari luar kota?",
}
same = True
for (own, hint), text in texts.items():
    _, _, plain = pycld2.detect(text)
    reliable, _, hinted = pycld2.detect(text, hintLanguage=hint)
    print(f"{own}: without a hint {plain[0][1]}, with the hint {hint}: {hinted[0][1]}, reliable {reliable}")
    same = same and plain[0][1] == own and hinted[0][1] == hint and reliable
sys.exit(0 if same else "the behavior has changed")
PY

#!/usr/bin/env bash
# eldc 0.4.0 (language detection) has no Indonesian, Afrikaans or Macedonian model, and names a neighbor for such texts
# with a score as high as that of a language it knows, so that no threshold on the score tells the two apart.
#
# Seen: Indonesian -> ms 0.91, Afrikaans -> nl 0.92, Macedonian -> sr 0.85; Malay itself -> ms 0.96, Dutch -> nl 0.95.
# Expected by a user: no answer, or a visibly lower score, for a language that the detector does not know.
# Here: haystack_crossalign/text asks a second detector and words where languages look alike, else says "not clear".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check eldc==0.4.0
"$folder/venv/bin/python" - <<'PY'
import sys
import eldc

eldc.init()
detector = eldc.instance()
detector.set_scheme("iso639-1")
texts = {
    "id": "Hari apa saja museum itu tutup dan kapan buka kembali?",
    "af": "Die museum is elke Maandag gesluit en maak weer Dinsdag oop.",
    "mk": "Музејот е затворен секој понеделник и повторно се отвора во вторник.",
    "ms": "Muzium itu ditutup pada setiap hari Isnin dan dibuka semula pada hari Selasa.",
    "nl": "Het museum is elke maandag gesloten en gaat op dinsdag weer open.",
}
named, scores = {}, {}
for tag, text in texts.items():
    found = detector.detect_details(text)
    named[tag], scores[tag] = found.language, max(found.scores.values())
    print(f"{tag}: named {found.language}, score {scores[tag]:.3f}")
same = (
    named["id"] == named["ms"] == "ms"
    and named["af"] == named["nl"] == "nl"
    and named["mk"] == "sr"
    and min(scores.values()) > 0.8
)
sys.exit(0 if same else "the behavior has changed")
PY

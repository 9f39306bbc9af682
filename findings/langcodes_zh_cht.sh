#!/usr/bin/env bash
# langcodes 3.5.1 with language_data 1.4.0 reads zh-CHT and zh-CHS, the tags of Windows for traditional and simplified
# Chinese that many catalogs still hold, as Chinese with an "extended language" cht or chs, and calls them valid. The likely
# script of both is then simplified, so a traditional text is filed under simplified Chinese.
#
# Seen: Language.get("zh-CHT") -> extlangs=['cht'], maximize() -> script Hans, tag_is_valid("zh-CHT") -> True.
# Here: haystack_crossalign/languages.py reads zh-CHT as zh-Hant and zh-CHS as zh.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check langcodes==3.5.1 language_data==1.4.0
"$folder/venv/bin/python" - <<'PY'
import sys
from langcodes import Language, tag_is_valid

scripts, valid = {}, {}
for tag in ("zh-CHT", "zh-CHS", "zh-TW", "zh-Hant"):
    language = Language.get(tag)
    scripts[tag] = language.maximize().script
    valid[tag] = tag_is_valid(tag)
    print(f"{tag}: {language!r}, likely script {scripts[tag]}, valid {valid[tag]}")
same = scripts == {"zh-CHT": "Hans", "zh-CHS": "Hans", "zh-TW": "Hant", "zh-Hant": "Hant"} and all(valid.values())
sys.exit(0 if same else "the behavior has changed")
PY

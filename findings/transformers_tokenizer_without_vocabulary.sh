#!/usr/bin/env bash
# transformers 5.23.0: AutoTokenizer on a folder whose tokenizer.json (and vocab.txt) is missing, as after an interrupted
# copy, does not fail and does not warn. It makes a tokenizer of five special tokens, to which every word is unknown, so
# that a model gives one vector to all texts with the same number of words.
#
# Seen: "the cat sleeps" and "dog runs dog" -> the same ids [2, 1, 1, 1, 3]; with the file, different ids.
# Expected by a user: an error that names the missing file.
# Here: a model whose tokenizer knows only special tokens ends with exit code 3 and that reason (models/modules.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0
cd "$folder"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PY'
import json
import pathlib
import sys
from transformers import AutoTokenizer, BertTokenizerFast

words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "dog", "runs", "sleeps"]
pathlib.Path("words.txt").write_text("\n".join(words))
BertTokenizerFast("words.txt").save_pretrained("model")
pathlib.Path("model/config.json").write_text(json.dumps({"model_type": "bert"}))


def ids():
    tokenizer = AutoTokenizer.from_pretrained("model")
    return [tokenizer(text)["input_ids"] for text in ("the cat sleeps", "dog runs dog")]


whole = ids()
for name in ("tokenizer.json", "vocab.txt"):
    pathlib.Path("model", name).unlink(missing_ok=True)
damaged = ids()
print("with the file:", *whole)
print("without it:   ", *damaged)
sys.exit(0 if whole[0] != whole[1] and damaged == [[2, 1, 1, 1, 3]] * 2 else "the behavior has changed")
PY

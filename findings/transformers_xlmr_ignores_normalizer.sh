#!/usr/bin/env bash
# transformers 5.23.0 with tokenizers 0.23.1: AutoTokenizer takes from a tokenizer.json only the vocabulary if
# tokenizer_config.json says "XLMRobertaTokenizer", and builds normalizer and splitting itself, without a word. The same
# file by the generic class, or by the library tokenizers alone, as other servers of embeddings read it, gives other
# tokens, so that documents embedded by one and queries by the other do not fit each other.
#
# Seen: a file whose normalizer writes everything in lower case; "Query:" -> [0, 5, 6, 2] by tokenizers and by the
# generic class, [0, 7, 6, 2] by XLMRobertaTokenizer, whose normalizer is None.
# Expected by a user: the normalizer of the file, or a warning.
# Here: models opened without transformers are read as transformers reads them, and tests compare the tokens of both
# (models/direct/tokenizer.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 tokenizers==0.23.1
cd "$folder"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PY'
import json
import pathlib
import sys
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer

pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁query", ":", "▁Query"]
made = Tokenizer(models.Unigram([(piece, -float(row)) for row, piece in enumerate(pieces)], unk_id=3))
made.normalizer = normalizers.Lowercase()
made.pre_tokenizer = pre_tokenizers.Metaspace()
made.post_processor = processors.TemplateProcessing(
    single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
)
pathlib.Path("model").mkdir()
made.save("model/tokenizer.json")
marks = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
ids = {"tokenizers": made.encode("Query:").ids}
for name in ("PreTrainedTokenizerFast", "XLMRobertaTokenizer"):
    pathlib.Path("model/tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name, **marks}))
    ids[name] = AutoTokenizer.from_pretrained("model")("Query:")["input_ids"]
print(*(f"{name}: {row}" for name, row in ids.items()), sep="\n")
same = {"tokenizers": [0, 5, 6, 2], "PreTrainedTokenizerFast": [0, 5, 6, 2], "XLMRobertaTokenizer": [0, 7, 6, 2]}
sys.exit(0 if ids == same else "the behavior has changed")
PY

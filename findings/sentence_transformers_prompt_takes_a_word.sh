#!/usr/bin/env bash
# sentence-transformers 6.2.0: with include_prompt=False the tokens of the prompt are left out of the mean. Their number
# is counted on the prompt alone. With a tokenizer that writes "▁" before each word (XLM-R and all models built on it),
# the space at the end of "passage: " is then a token of its own, but before a text it becomes part of the first word.
# So one token too many is left out: the first word of every text.
#
# Seen: "The cat" with the prompt "passage: " has the tokens <s>, ▁passage, :, ▁The, ▁cat, </s>; the first four are
# left out, and the embedding is the mean of ▁cat and </s>.
# Expected by a user: the mean of ▁The, ▁cat and </s>.
# Here: the loss that aligns tokens counts prompts in the same way, and says so (training/losses/tokens.py); a model with
# include_prompt=False is embedded as sentence-transformers does it, so that its vectors agree with those of others.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check sentence-transformers==6.2.0 transformers==5.23.0 \
    tokenizers==0.23.1 torch==2.13.0
cd "$folder"
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PY'
import json
import pathlib
import sys

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import XLMRobertaConfig, XLMRobertaModel

pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁passage", ":", "▁The", "▁cat", "▁dog"]
made = Tokenizer(models.Unigram([(piece, -float(row)) for row, piece in enumerate(pieces)], unk_id=3))
made.pre_tokenizer = pre_tokenizers.Metaspace()
made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
torch.manual_seed(0)
size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
config = XLMRobertaConfig(vocab_size=len(pieces), max_position_embeddings=40, pad_token_id=1, **size)
XLMRobertaModel(config).save_pretrained("encoder")
made.save("encoder/tokenizer.json")
marks = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
pathlib.Path("encoder/tokenizer_config.json").write_text(
    json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **marks})
)
encoder = Transformer("encoder")
model = SentenceTransformer(modules=[encoder, Pooling(8, include_prompt=False)], device="cpu")
features = model.preprocess(["The cat"], prompt="passage: ")
tokens = model.tokenizer.convert_ids_to_tokens(features["input_ids"][0])
left_out = tokens[: int(features["prompt_length"])]
print(tokens, "left out of the mean:", left_out)
# The embeddings of the tokens, to see which of them the mean is of.
vectors = model.encode(["The cat"], prompt="passage: ", output_value="token_embeddings")[0]
pooled = model.encode(["The cat"], prompt="passage: ", convert_to_tensor=True)[0]
means = {start: bool(torch.allclose(pooled, vectors[start:].mean(dim=0), atol=1e-5)) for start in (3, 4)}
print("the embedding is the mean from token:", [start for start, same in means.items() if same])
same = left_out == ["<s>", "▁passage", ":", "▁The"] and means == {3: False, 4: True}
sys.exit(0 if same else "the behavior has changed")
PY

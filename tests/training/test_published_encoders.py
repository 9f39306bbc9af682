"""The encoders of published models, in their widths and settings, with few layers and random weights.

multilingual-e5-base: XLM-RoBERTa of 768 dimensions with 12 heads and 514 positions, mean pooling, prompts that it does
not store. bge-m3: 1,024 dimensions, 16 heads, 8,194 positions, the first token, no prompts. Both normalize.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tiny_models import WORDS
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from training_runs import made_recipe, made_triplets
from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

from haystack_crossalign.training.trainer import train

pytestmark = pytest.mark.training

SPECIAL = dict(
    zip(
        ("bos_token", "pad_token", "eos_token", "unk_token", "mask_token"),
        ("<s>", "<pad>", "</s>", "<unk>", "<mask>"),
        strict=True,
    )
)
# Width, heads, inner width, positions, pooling, limit of tokens, and the prompts that are used.
ENCODERS = {
    "multilingual-e5-base": (768, 12, 3072, 514, "mean", 512, ("query: ", "passage: ")),
    "bge-m3": (1024, 16, 4096, 8194, "cls", 8192, ("", "")),
}


def write_encoder(name: str, root: Path) -> Path:
    width, heads, inner, positions, pooling, limit, _ = ENCODERS[name]
    vocabulary = {word: number for number, word in enumerate([*SPECIAL.values(), *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    base = root / "base"
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=limit,
        **SPECIAL,
        cls_token=SPECIAL["bos_token"],
        sep_token=SPECIAL["eos_token"],
    ).save_pretrained(base)
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=len(SPECIAL) + len(WORDS), hidden_size=width, num_hidden_layers=1, num_attention_heads=heads,
        intermediate_size=inner, max_position_embeddings=positions, type_vocab_size=1, layer_norm_eps=1e-5,
        pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    XLMRobertaModel(config).save_pretrained(base)
    modules = [Transformer(str(base), max_seq_length=limit), Pooling(width, pooling), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(root / name))
    return root / name


@pytest.mark.parametrize("name", ENCODERS)
def test_every_layer_is_trained_from_a_repair_with_tokens_aligned(name: str, tmp_path: Path) -> None:
    folder = write_encoder(name, tmp_path)
    width, *_, pooling, limit, prompts = ENCODERS[name]
    outcome = train(
        made_recipe(
            folder,
            start={
                "kind": "repair",
                "strength": 1.0,
                "common_share": 0.5,
                "train_dense": False,
                "refit": True,
                "closed": True,
            },
            loss={"alignment_weight": 0, "nce_weight": 0, "pool_weight": 1, "token_weight": 1},
            distil={"anchor_weight": 1, "anchor_share": 0.5},
            optimiser={"max_steps": 2},
            held_out={"share": 0},
        ),
        tmp_path / "out",
        triplets=[one for one in made_triplets(24) if one.target_queries],
    )
    for entry in outcome.data["curves"]["steps"]:
        assert 0 < entry["token"] <= 1
        assert entry["pool"] > 0
    trained = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    kinds = [type(module).__name__ for module in trained]
    assert kinds == ["Transformer", "Pooling", "Normalize", "Dense", "Normalize"]
    assert trained[1].pooling_mode in (pooling, (pooling,))
    assert trained.max_seq_length == limit
    assert tuple(outcome.data["model"]["prompts"][role] for role in ("query", "document")) == prompts
    assert trained.encode(["w1 w2"]).shape == (1, width)
    before = SentenceTransformer(str(folder), device="cpu").state_dict()
    key = "0.model.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(trained.state_dict()[key], before[key])

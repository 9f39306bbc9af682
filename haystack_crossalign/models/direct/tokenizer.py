"""Tokenize with the library tokenizers alone, as transformers would with the same files."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from haystack_crossalign.models.direct.description import UnknownModelError, require, require_known

# Special tokens of the tokenizer classes, where the files name no others. Both generic classes take a tokenizer.json as
# it is; the others keep its vocabulary, and build the rest themselves.
_CLASSES: dict[str, dict[str, str]] = {
    "PreTrainedTokenizerFast": {},
    "TokenizersBackend": {},
    "XLMRobertaTokenizer": {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "cls_token": "<s>",
        "mask_token": "<mask>",
    },
    "BertTokenizer": {
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    },
}
# The versions of transformers whose classes build what is built here. Before, that of XLM-RoBERTa left out the
# normalization of the file; later ones were not compared.
_FIRST, _LAST = (5, 5), (5, 23)
_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_MASK, _IDS, _TYPES = "attention_mask", "input_ids", "token_type_ids"
# Settings without an effect on the tokens of a text.
_WITHOUT_EFFECT = {
    "added_tokens_decoder",
    "add_bos_token",
    "add_eos_token",
    "backend",
    "clean_up_tokenization_spaces",
    "do_basic_tokenize",
    "files_loaded",
    "is_local",
    "local_files_only",
    "max_length",
    "model_input_names",
    "name_or_path",
    "never_split",
    "pad_to_multiple_of",
    "special_tokens_map_file",
    "stride",
    "tokenizer_class",
    "tokenizer_file",
    "truncation_strategy",
}
_FIXED: dict[str, Any] = {
    "pad_token_type_id": 0,
    "padding_side": "right",
    "truncation_side": "right",
    "split_special_tokens": False,
    "additional_special_tokens": [],
    "extra_special_tokens": [],
    "sp_model_kwargs": {},
}
# Settings that the generic classes ignore.
_OF_BERT = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
# A code point that no text has, and hence no vocabulary.
_UNASSIGNED = "\U0010ffff"


class TextTokenizer:
    """The tokenizer of a model folder.

    :param folder: the folder, with a ``tokenizer.json``.
    :param config: its other settings, without the limit.
    :raises UnknownModelError: if transformers might tokenize in another way.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        name = str(config.get("tokenizer_class"))
        kind = name if name in _CLASSES else name.removesuffix("Fast")
        require(kind in _CLASSES)
        settings = {key: value for key, value in config.items() if key not in _SPECIAL}
        named = {key: _content(config[key]) for key in _SPECIAL if config.get(key) is not None}
        special = {**_CLASSES[kind], **named}
        require("pad_token" in special)
        try:
            tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises nothing more precise
            raise UnknownModelError from error
        if kind == "XLMRobertaTokenizer":
            _as_xlm_roberta(tokenizer, special, settings)
        elif kind == "BertTokenizer":
            _as_bert(tokenizer, special, settings)
        else:
            settings = {key: value for key, value in settings.items() if key not in _OF_BERT}
        require_known(settings, _WITHOUT_EFFECT, _FIXED)
        inputs = config.get("model_input_names", (_IDS, _TYPES, _MASK) if kind == "BertTokenizer" else (_IDS, _MASK))
        require(isinstance(inputs, list | tuple) and {_IDS, _MASK} <= set(inputs) <= {_IDS, _TYPES, _MASK})
        self._with_types = _TYPES in inputs
        _check_added_tokens(tokenizer, special, config.get("added_tokens_decoder"))
        padding, truncation = tokenizer.padding, tokenizer.truncation
        require(padding is None or (padding["direction"] == "right" and padding["pad_type_id"] == 0))
        require(truncation is None or truncation["direction"] == "right")
        pad = special["pad_token"]
        tokenizer.enable_padding(pad_id=tokenizer.token_to_id(pad), pad_token=pad)
        self._tokenizer = tokenizer

    def encode(self, texts: list[str], limit: int) -> dict[str, torch.Tensor]:
        """Tokens of texts, padded on the right.

        :param texts: n texts, at least one.
        :param limit: texts are cut after this many tokens.
        :returns: ``input_ids`` and ``attention_mask``, int64 [n, longest], and ``token_type_ids`` if the model takes
            them.
        """
        self._tokenizer.enable_truncation(limit)
        encodings = self._tokenizer.encode_batch(texts)
        features = {_IDS: torch.tensor([encoding.ids for encoding in encodings])}
        if self._with_types:
            features[_TYPES] = torch.tensor([encoding.type_ids for encoding in encodings])
        features[_MASK] = torch.tensor([encoding.attention_mask for encoding in encodings])
        return features


def _content(token: Any) -> str:
    """The text of a special token, which may be stored with its properties."""
    content = token.get("content") if isinstance(token, dict) else token
    require(isinstance(content, str))
    return str(content)


def _as_xlm_roberta(tokenizer: Tokenizer, special: Mapping[str, str], settings: dict[str, Any]) -> None:
    require(settings.pop("add_prefix_space", True) is True and isinstance(tokenizer.model, models.Unigram))
    require([token.id for token in tokenizer.model.tokenize(_UNASSIGNED)] == [3])
    stored = tokenizer.normalizer
    parts = [stored[place] for place in range(len(stored))] if isinstance(stored, normalizers.Sequence) else [stored]
    metaspace = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    begin, end = special["bos_token"], special["eos_token"]
    _rebuild(
        tokenizer,
        next((part for part in parts if isinstance(part, normalizers.Precompiled)), None),
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace]),
        [begin, "$A", end],
        [begin, "$A", end, end, "$B", end],
        (begin, end),
    )


def _as_bert(tokenizer: Tokenizer, special: Mapping[str, str], settings: dict[str, Any]) -> None:
    model = tokenizer.model
    require(isinstance(model, models.WordPiece) and model.unk_token == special["unk_token"])
    require(model.max_input_chars_per_word == 100 and model.continuing_subword_prefix == "##")
    lower, accents, chinese = (
        settings.pop(name, default) for name, default in zip(_OF_BERT, (True, None, True), strict=True)
    )
    require(type(lower) is bool and type(chinese) is bool and (accents is None or type(accents) is bool))
    begin, end = special["cls_token"], special["sep_token"]
    _rebuild(
        tokenizer,
        normalizers.BertNormalizer(
            clean_text=True, handle_chinese_chars=chinese, strip_accents=accents, lowercase=lower
        ),
        pre_tokenizers.BertPreTokenizer(),
        f"{begin}:0 $A:0 {end}:0",
        f"{begin}:0 $A:0 {end}:0 $B:1 {end}:1",
        (begin, end),
    )


def _rebuild(
    tokenizer: Tokenizer, normalizer: Any, pre_tokenizer: Any, single: Any, pair: Any, ends: tuple[str, str]
) -> None:
    """Put in place what a class of transformers builds, whatever the file says."""
    require(_FIRST <= tuple(map(int, version("transformers").split(".")[:2])) <= _LAST)
    require(tokenizer.post_processor is not None)
    ids = [(token, tokenizer.token_to_id(token)) for token in ends]
    require(all(number is not None for _, number in ids))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    tokenizer.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)


def _check_added_tokens(tokenizer: Tokenizer, special: Mapping[str, str], stated: Any) -> None:
    """Require that transformers adds no token, and changes none, when it loads the tokenizer."""
    added = tokenizer.get_added_tokens_decoder()
    require(all(tokenizer.model.token_to_id(token.content) == number for number, token in added.items()))
    require(set(special.values()) <= {token.content for token in added.values() if token.special})
    require(tokenizer.get_vocab_size() > len(added))
    if stated is None:
        return
    try:
        settings = {int(number): repr(AddedToken(**token)) for number, token in stated.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise UnknownModelError from error
    require(settings == {number: repr(token) for number, token in added.items()})

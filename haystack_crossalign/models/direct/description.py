"""Read the configuration files of a model folder; accept only settings whose effect is known."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Architecture = Literal["bert", "xlm-roberta"]
PoolingMode = Literal["mean", "cls", "lasttoken"]

# Names of the module types: of sentence-transformers before version 5.4, and of later ones.
_TYPES = {
    f"sentence_transformers.{place}{kind}": kind
    for kind, later in (
        ("Transformer", "base.modules.transformer."),
        ("Pooling", "sentence_transformer.modules.pooling."),
        ("Dense", "base.modules.dense."),
        ("Normalize", "base.modules.normalize."),
    )
    for place in ("models.", later)
}
# Files that make the libraries do something else with a model, and folders with the same meaning.
_FOREIGN = (
    "adapter_config.json",
    "added_tokens.json",
    "processor_config.json",
    "preprocessor_config.json",
    "chat_template.json",
    "chat_template.jinja",
    "additional_chat_templates",
)
_OWN = (
    "config.json",
    "config_sentence_transformers.json",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "model.safetensors",
)
# Defaults of transformers for values that a config.json leaves out.
_DEFAULTS: dict[str, Any] = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
}
_PADDING: dict[Architecture, int] = {"bert": 0, "xlm-roberta": 1}
# Values that have no effect on an embedding without training.
_WITHOUT_EFFECT = {
    "_name_or_path",
    "architectures",
    "attention_probs_dropout_prob",
    "bos_token_id",
    "classifier_dropout",
    "directionality",
    "dtype",
    "eos_token_id",
    "gradient_checkpointing",
    "hidden_dropout_prob",
    "id2label",
    "initializer_range",
    "label2id",
    "output_past",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
    "tie_word_embeddings",
    "tokenizer_class",
    "torch_dtype",
    "transformers_version",
    "use_cache",
}
_FIXED = {"add_cross_attention": False, "is_decoder": False, "position_embedding_type": "absolute"}
_ACTIVATIONS = {
    "torch.nn.modules.activation.Tanh": "Tanh",
    "torch.nn.modules.activation.ReLU": "ReLU",
    "torch.nn.modules.activation.GELU": "GELU",
    "torch.nn.modules.linear.Identity": "Identity",
}
_POOLINGS: dict[str, PoolingMode] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "lasttoken",
}
_OTHER_POOLINGS = (
    "pooling_mode_max_tokens",
    "pooling_mode_mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens",
)
_SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")
_LARGEST_LIMIT = 10**6


class UnknownModelError(Exception):
    """The folder holds something whose effect is not known here."""


@dataclass(frozen=True)
class Network:
    """The sizes of a transformer encoder.

    :param architecture: how positions are numbered: from 0, or from ``padding + 1`` where there is a token.
    :param padding: id of the padding token in the configuration of the model.
    """

    architecture: Architecture
    vocabulary: int
    hidden: int
    layers: int
    heads: int
    inner: int
    positions: int
    token_types: int
    epsilon: float
    padding: int

    @property
    def usable_positions(self) -> int:
        """Number of tokens for which the table of positions has rows."""
        return self.positions if self.architecture == "bert" else self.positions - self.padding - 1


@dataclass(frozen=True)
class DenseLayer:
    """A layer after the pooling.

    :param folder: where its weights are.
    :param activation: name of a class of ``torch.nn``.
    """

    folder: Path
    inputs: int
    outputs: int
    bias: bool
    activation: str


@dataclass(frozen=True)
class Description:
    """All that the files of a model folder say.

    :param after: dense layers and ``"normalize"``, in their order after the pooling.
    :param limit: longer texts are cut after this many tokens.
    :param tokenizer: ``tokenizer_config.json``, completed by ``special_tokens_map.json`` as in transformers.
    """

    folder: Path
    network: Network
    pooling: PoolingMode
    after: tuple[DenseLayer | Literal["normalize"], ...]
    limit: int
    prompts: dict[str, str]
    similarity: str
    truncate_dim: int | None
    tokenizer: dict[str, Any]


def read_description(folder: Path, listed: Collection[str] | None) -> Description:
    """Read the configuration of a model.

    :param folder: a model folder, or a snapshot in the cache of the hub.
    :param listed: names of all files of the model on the hub; None if the folder holds all that there is.
    :raises UnknownModelError: where a file or a value is missing or unknown.
    """
    require(not any((folder / name).exists() for name in _FOREIGN))
    modules = _read(folder / "modules.json", list)
    kinds = [_module_kind(number, module) for number, module in enumerate(modules)]
    require(kinds[:2] == ["Transformer", "Pooling"] and not {"Transformer", "Pooling"} & set(kinds[2:]))
    paths = [module["path"] for module in modules]
    require(paths[0] == "" and len({module["name"] for module in modules}) == len(modules))
    if listed is not None:
        # A file that is on the hub but not in the cache would be fetched.
        wanted = [name for name in listed if name in (*_OWN, *_FOREIGN) or name.rpartition("/")[0] in paths[1:]]
        require(all((folder / name).is_file() for name in wanted))
    network = _network(_read(folder / "config.json", dict))
    pooling = _pooling(_read(folder / paths[1] / "config.json", dict), network.hidden)
    after = tuple(_later(kind, folder / path) for kind, path in zip(kinds[2:], paths[2:], strict=True))
    width = network.hidden
    for layer in after:
        if isinstance(layer, DenseLayer):
            require(layer.inputs == width)
            width = layer.outputs
    tokenizer = _tokenizer(folder)
    limit = _limit(_read(folder / "sentence_bert_config.json", dict), tokenizer.pop("model_max_length", None), network)
    settings = _read(folder / "config_sentence_transformers.json", dict, optional=True)
    return Description(folder, network, pooling, after, limit, *_embedding_settings(settings), tokenizer)


def require(condition: bool) -> None:
    """Leave the model to sentence-transformers unless a condition holds.

    :raises UnknownModelError: if it does not.
    """
    if not condition:
        raise UnknownModelError


def _read(path: Path, kind: type, *, optional: bool = False) -> Any:
    if optional and not path.exists():
        return kind()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnknownModelError from error
    require(isinstance(content, kind))
    return content


def require_known(values: Mapping[str, Any], names: Collection[str], fixed: Mapping[str, Any]) -> None:
    """Require that every value either has a known name or is the only known one."""
    for name, value in values.items():
        require(name in names or (name in fixed and type(value) is type(fixed[name]) and value == fixed[name]))


def _module_kind(number: int, module: Any) -> str:
    require(isinstance(module, dict) and set(module) <= {"idx", "name", "path", "type", "kwargs"})
    require(module.get("idx", number) == number and not module.get("kwargs"))
    require(all(isinstance(module.get(key), str) for key in ("name", "path", "type")))
    require(".." not in Path(module["path"]).parts and not Path(module["path"]).is_absolute())
    require(module["type"] in _TYPES)
    return _TYPES[module["type"]]


def _whole(value: Any, least: int = 1) -> int:
    require(type(value) is int and value >= least)
    return int(value)


def _network(config: dict[str, Any]) -> Network:
    architecture: Architecture
    match config.get("model_type"):
        case "bert":
            architecture = "bert"
        case "xlm-roberta":
            architecture = "xlm-roberta"
        case _:
            raise UnknownModelError
    require_known(config, {*_DEFAULTS, *_WITHOUT_EFFECT, "model_type", "pad_token_id"}, _FIXED)
    values = {**_DEFAULTS, "pad_token_id": _PADDING[architecture], **config}
    require(values["hidden_act"] == "gelu" and type(values["layer_norm_eps"]) is float)
    network = Network(
        architecture=architecture,
        vocabulary=_whole(values["vocab_size"]),
        hidden=_whole(values["hidden_size"]),
        layers=_whole(values["num_hidden_layers"]),
        heads=_whole(values["num_attention_heads"]),
        inner=_whole(values["intermediate_size"]),
        positions=_whole(values["max_position_embeddings"]),
        token_types=_whole(values["type_vocab_size"]),
        epsilon=values["layer_norm_eps"],
        padding=_whole(values["pad_token_id"], 0),
    )
    require(network.hidden % network.heads == 0 and network.padding < network.vocabulary)
    return network


def _pooling(config: dict[str, Any], hidden: int) -> PoolingMode:
    sizes = {"embedding_dimension": hidden, "word_embedding_dimension": hidden, "include_prompt": True}
    require_known(config, {"pooling_mode", *_POOLINGS}, {**sizes, **dict.fromkeys(_OTHER_POOLINGS, False)})
    require("embedding_dimension" in config or "word_embedding_dimension" in config)
    stated = config.get("pooling_mode")
    if stated is not None:
        require(stated in _POOLINGS.values())
        mode: PoolingMode = stated
        return mode
    chosen = {_POOLINGS[key]: value for key, value in config.items() if key in _POOLINGS}
    require(all(type(value) is bool for value in chosen.values()))
    modes = [mode for mode, wanted in chosen.items() if wanted]
    require(len(modes) == 1)
    return modes[0]


def _later(kind: str, folder: Path) -> DenseLayer | Literal["normalize"]:
    names = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}
    if kind == "Normalize":
        require_known(_read(folder / "config.json", dict, optional=True), (), names)
        return "normalize"
    config = _read(folder / "config.json", dict)
    require_known(
        config, ("in_features", "out_features", "bias", "activation_function"), {**names, "use_residual": False}
    )
    activation = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    bias = config.get("bias", True)
    require(activation in _ACTIVATIONS and type(bias) is bool)
    inputs, outputs = _whole(config.get("in_features")), _whole(config.get("out_features"))
    return DenseLayer(folder, inputs, outputs, bias, _ACTIVATIONS[activation])


def _tokenizer(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = _read(folder / "tokenizer_config.json", dict)
    if "added_tokens_decoder" not in config:
        config |= _read(folder / "special_tokens_map.json", dict, optional=True)
    return config


def _limit(config: dict[str, Any], tokenizer_limit: Any, network: Network) -> int:
    text = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
    fixed = {
        "do_lower_case": False,
        "transformer_task": "feature-extraction",
        "modality_config": text,
        "module_output_name": "token_embeddings",
    }
    require_known(config, ("max_seq_length",), fixed)
    require(("modality_config" in config) == ("module_output_name" in config))
    limit = config.get("max_seq_length")
    if limit is None:
        limit = network.positions
        if tokenizer_limit is not None and not (type(tokenizer_limit) is float and tokenizer_limit > _LARGEST_LIMIT):
            limit = min(limit, _whole(tokenizer_limit))
    usable = min(_whole(limit), network.usable_positions)
    # Two special tokens and one of the text.
    return _whole(usable, 3)


def _embedding_settings(settings: dict[str, Any]) -> tuple[dict[str, str], str, int | None]:
    """The prompts, the similarity and the number of dimensions that are kept."""
    names = ("__version__", "prompts", "default_prompt_name", "similarity_fn_name", "truncate_dim")
    require_known(settings, names, {"model_type": "SentenceTransformer"})
    prompts = settings.get("prompts", {})
    require(isinstance(prompts, dict))
    require(all(text is None or isinstance(text, str) for text in prompts.values()))
    whole = {"query": "", "document": "", **{name: text or "" for name, text in prompts.items()}}
    require(settings.get("default_prompt_name") in (None, *whole))
    similarity = settings.get("similarity_fn_name")
    require(similarity is None or similarity in _SIMILARITIES)
    dimensions = settings.get("truncate_dim")
    return whole, similarity or "cosine", None if dimensions is None else _whole(dimensions)

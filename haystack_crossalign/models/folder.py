"""Checks of a model folder before any library reads it: which files exist, and whether they can be read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from haystack_crossalign.errors import InputError

_POINTER = b"version https://git-lfs"
# Folders that sentence-transformers names by place and class. Without modules.json they would be left out in silence.
_TRAINED_MODULE = re.compile(r"\d+_Dense")
_OWN_TYPE = "SentenceTransformer"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_WEIGHTS_INDEX = "model.safetensors.index.json"
# Files that the libraries read as mappings; tokenizer.json is large, and its own library checks it.
_MAPPINGS = (
    "config.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "adapter_config.json",
    _WEIGHTS_INDEX,
)
_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*$", re.DOTALL | re.MULTILINE)
# The model's name, and that of its base model, in a model card; read without a YAML parser, since cards are untrusted
# and only names are needed.
_CARD_NAMES = (
    ("model-index", re.compile(r"""^model-index:\s*\n\s*-\s*name:\s*["']?([^\s"']+)""", re.MULTILINE)),
    ("base_model", re.compile(r"""^base_model:(?:\s*\n\s*-)?[ \t]*["']?([^\s"']+)""", re.MULTILINE)),
)


def check_folder(folder: Path, name: str) -> None:
    """Reject a folder that holds no model, pickled weights or damaged files.

    :param folder: the folder.
    :param name: its name as given by the user, for messages.
    :raises InputError: with the name of the file.
    """
    modules = folder / "modules.json"
    if not modules.is_file() and not any((folder / own).is_file() for own in ("config.json", "adapter_config.json")):
        raise InputError(
            "not a model folder: it has neither modules.json nor config.json",
            field="model",
            seen=name,
            allowed="a sentence-transformers or transformers folder",
        )
    left = sorted(part.name for part in folder.iterdir() if part.is_dir() and _TRAINED_MODULE.fullmatch(part.name))
    if left and not modules.is_file():
        raise InputError(
            "an incomplete model folder: modules.json, which names its modules, is missing, and without it the model "
            "would be another one",
            source=folder,
            seen=left[0],
            allowed="a complete copy of the folder",
        )
    parts = [folder]
    if modules.is_file():
        parts += [part for part in _module_folders(modules) if part != folder]
    for part in parts:
        for file in _MAPPINGS:
            if (part / file).is_file():
                _check_mapping(part / file)
        for weights in part.glob("*.safetensors"):
            with weights.open("rb") as stream:
                if stream.read(len(_POINTER)) == _POINTER:
                    raise InputError(
                        "a Git LFS pointer in place of the file; fetch it with git lfs pull", source=weights
                    )
        pickled = next((file for pattern in _PICKLES for file in sorted(part.glob(pattern))), None)
        if pickled is not None and not any(part.glob("*.safetensors")):
            raise InputError(
                "the weights are pickled, and pickles can run code",
                field="model",
                seen=pickled.name,
                allowed="safetensors files; convert it with model.save_pretrained(folder)",
            )


def stated_names(folder: Path) -> tuple[tuple[str, str], ...]:
    """Names of a model, or of its base model, in the files of its folder, with the source of each.

    :param folder: the model folder; files that cannot be read are ignored.
    """
    names = []
    try:
        name = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("_name_or_path")
        if isinstance(name, str):
            names.append(("_name_or_path in config.json", name))
    except (OSError, ValueError, AttributeError):
        pass
    try:
        card = _FRONT_MATTER.match((folder / "README.md").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        card = None
    if card is not None:
        matches = ((key, pattern.search(card.group(1))) for key, pattern in _CARD_NAMES)
        names += [(f"{key} in README.md", match.group(1)) for key, match in matches if match]
    return tuple(names)


def _module_folders(modules: Path) -> list[Path]:
    entries = _read_json(modules)
    if not isinstance(entries, list) or not entries:
        raise InputError("not a list of modules", source=modules, allowed='[{"idx": 0, "path": "", "type": "…"}, …]')
    folders = []
    for number, entry in enumerate(entries):
        for key in ("path", "type"):
            value = entry.get(key) if isinstance(entry, dict) else None
            if not isinstance(value, str):
                raise InputError("not a text", source=modules, field=f"[{number}].{key}", seen=value, allowed="a text")
        folder = modules.parent / entry["path"]
        if not folder.is_dir():
            raise InputError(
                "the folder of a module is missing", source=modules, field=f"[{number}].path", seen=entry["path"]
            )
        folders.append(folder)
    return folders


def _check_mapping(path: Path) -> None:
    content = _read_json(path)
    if not isinstance(content, dict):
        raise InputError("not an object", source=path, seen=content, allowed="a JSON object")
    kind = content.get("model_type", _OWN_TYPE)
    if path.name == "config_sentence_transformers.json" and kind != _OWN_TYPE:
        # Otherwise it would be loaded without its last modules and with mean pooling.
        raise InputError("not a model that embeds texts", source=path, field="model_type", seen=kind, allowed=_OWN_TYPE)
    if path.name == _WEIGHTS_INDEX:
        shards = content.get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(shard, str) for shard in shards.values()):
            raise InputError("not a map of weights to files", source=path, field="weight_map", seen=shards)
        missing = sorted({shard for shard in shards.values() if not (path.parent / shard).is_file()})
        if missing:
            raise InputError(
                "names files of weights that are missing",
                source=path,
                field="weight_map",
                seen=", ".join(missing[:3]),
                allowed="files beside it; fetch the model again",
            )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise InputError(f"cannot be read as JSON ({reason}); the file may be damaged", source=path) from error

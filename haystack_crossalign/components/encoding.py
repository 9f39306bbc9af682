"""Common parts of the two embedders: creation of the encoder, and the progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from haystack.utils import ComponentDevice, Secret

from haystack_crossalign.errors import InputError
from haystack_crossalign.models.names import BACKENDS

if TYPE_CHECKING:
    from haystack_crossalign.models.encoder import Encoder


_COMPUTED = ("auto", "bf16", "fp32")
_STOCK = "the stock SentenceTransformers embedder"


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """Parameters of both embedders other than prefix and suffix; see `CrossAlignTextEmbedder` for each.

    Parameters of the stock embedders that would change the computation are rejected by name, with what to use instead.
    """

    model: str
    device: ComponentDevice | None
    token: Secret | None
    batch_size: int | None
    truncate_dim: int | None
    compute_precision: str
    backend: str
    max_tokens: int | None
    normalize_embeddings: bool | None
    trust_remote_code: bool
    local_files_only: bool
    revision: str | None

    def open(
        self,
        *,
        query_prefix: str | None = None,
        document_prefix: str | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
    ) -> Encoder:
        """Load the model.

        :raises InputError: for a folder without a model, an unknown name or a value out of range.
        :raises ExternalError: if the model cannot be loaded.
        """
        from haystack_crossalign.models.encoder import Encoder

        return Encoder(
            self.model,
            device=None if self.device is None else self.device.to_torch_str(),
            precision=self.compute_precision,
            backend=self.backend,
            max_tokens=self.max_tokens,
            # As in the stock embedders, False leaves vectors as returned by the model.
            normalize=True if self.normalize_embeddings else None,
            query_prefix=query_prefix,
            document_prefix=document_prefix,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
            batch_size=self.batch_size,
            truncate_dim=self.truncate_dim,
            revision=self.revision,
            token=self.token.resolve_value() if self.token else None,
            local_files_only=self.local_files_only,
            trust_remote_code=self.trust_remote_code,
        )


def refuse_stock_values(
    component: str,
    *,
    precision: str,
    quantization_ranges: object,
    backend: str,
    model_kwargs: Mapping[str, Any] | None,
    tokenizer_kwargs: Mapping[str, Any] | None,
    config_kwargs: Mapping[str, Any] | None,
    encode_kwargs: Mapping[str, Any] | None,
) -> None:
    """Reject values of stock parameters that this package does not support; their defaults are accepted.

    :param component: name of the embedder, for the message.
    :raises InputError: naming the parameter, and what to use instead.
    """
    if precision in _COMPUTED:
        raise InputError(
            "the format of the vectors, as in the stock embedder, not how the model computes",
            source=component,
            field="precision",
            seen=precision,
            allowed=f"compute_precision={precision}",
        )
    byte_vectors = "float32 here; a vector field of the index can store bytes"
    refused = {
        "precision": (precision, precision != "float32", byte_vectors),
        "quantization_ranges": (quantization_ranges, quantization_ranges is not None, byte_vectors),
        "backend": (backend, backend not in BACKENDS, f"{', '.join(BACKENDS)}, or {_STOCK}"),
        "model_kwargs": (model_kwargs, model_kwargs, f"compute_precision and device, or {_STOCK}"),
        "tokenizer_kwargs": (tokenizer_kwargs, tokenizer_kwargs, f"max_tokens for model_max_length, or {_STOCK}"),
        "config_kwargs": (config_kwargs, config_kwargs, f"a model folder whose config.json says so, or {_STOCK}"),
        "encode_kwargs": (encode_kwargs, encode_kwargs, f"prefix for a prompt, or {_STOCK}"),
    }
    for name, (value, wrong, instead) in refused.items():
        if wrong:
            raise InputError("not supported", source=component, field=name, seen=value, allowed=instead)


def renamed(data: dict[str, Any]) -> dict[str, Any]:
    """Rename ``precision`` in a stored component in which it still has its old meaning, how the model computes."""
    parameters = data.get("init_parameters", {})
    if parameters.get("precision") not in _COMPUTED:
        return data
    changed = {name: value for name, value in parameters.items() if name != "precision"}
    return {**data, "init_parameters": {**changed, "compute_precision": parameters["precision"]}}


@contextmanager
def progress(show: bool, label: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on standard error, as in the stock embedders, or nothing."""
    if not show:
        yield None
        return
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    # None disables the bar if standard error is not a terminal, since a bar in a log file is noise.
    with tqdm(desc=label, unit="text", disable=None) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report

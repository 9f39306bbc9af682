"""A Haystack component that embeds a query with the prompt and settings of its model."""

from __future__ import annotations

import asyncio
from typing import Any

from haystack import component, default_from_dict, default_to_dict
from haystack.utils import ComponentDevice, Secret

from haystack_crossalign.components.encoding import EncoderOptions, refuse_stock_values, renamed
from haystack_crossalign.models.encoder import Encoder
from haystack_crossalign.models.names import DEFAULT_MODEL


@component
class CrossAlignTextEmbedder:
    """Embeds a query; a drop-in for ``SentenceTransformersTextEmbedder``.

    It accepts every parameter of that component, or rejects it with a message that says what to use instead.

    It puts the model's query prompt before the text (E5 models need ``query: ``), normalizes as the model says and
    computes in bf16 if the processor has the instructions.

    ```python
    embedder = CrossAlignTextEmbedder(model="intfloat/multilingual-e5-small")
    embedding = embedder.run("wie viel Eiweiß am Tag")["embedding"]
    ```

    :param model: hub name, folder, or ``offline:multilingual-e5-small`` (a 4-bit copy that needs no hub).
    :param device: device for computing; ``None`` for a GPU if there is one.
    :param token: access token for private models of the hub.
    :param prefix: text before the query; ``None`` for the model's query prompt, ``""`` for none.
    :param query_prompt: name of one of the model's prompts, instead of ``prefix``.
    :param suffix: text after the query.
    :param batch_size: no effect on a single query.
    :param progress_bar: no effect on a single query.
    :param compute_precision: how the model computes: ``"auto"``, ``"bf16"`` or ``"fp32"``.
    :param max_tokens: longer queries are cut; ``None`` is the model's own limit.
    :param normalize_embeddings: ``True`` for unit length; otherwise vectors are as returned by the model.
    :param trust_remote_code: run code that comes with the model.
    :param local_files_only: never contact the hub.
    :param revision: branch, tag or commit on the hub.
    :param truncate_dim: keep only this many dimensions; vectors of unit length are normalized again.
    :param precision: format of the vectors, ``"float32"``.
    :param quantization_ranges: rejected, as is every other ``precision``.
    :param backend: what computes the model: ``"torch"``, or ``"openvino"`` on a CPU, with the extra ``openvino``.
    :param model_kwargs: rejected, as are ``tokenizer_kwargs``, ``config_kwargs`` and ``encode_kwargs``.
    :raises InputError: for a rejected value.
    """

    def __init__(
        self,
        *,
        model: str = DEFAULT_MODEL,
        device: ComponentDevice | None = None,
        token: Secret | None = Secret.from_env_var(["HF_API_TOKEN", "HF_TOKEN"], strict=False),  # noqa: B008
        prefix: str | None = None,
        suffix: str = "",
        batch_size: int | None = None,
        progress_bar: bool = True,
        compute_precision: str = "auto",
        max_tokens: int | None = None,
        normalize_embeddings: bool | None = None,
        trust_remote_code: bool = False,
        local_files_only: bool = False,
        revision: str | None = None,
        truncate_dim: int | None = None,
        precision: str = "float32",
        quantization_ranges: list[list[float]] | None = None,
        backend: str = "torch",
        model_kwargs: dict[str, Any] | None = None,
        tokenizer_kwargs: dict[str, Any] | None = None,
        config_kwargs: dict[str, Any] | None = None,
        encode_kwargs: dict[str, Any] | None = None,
        query_prompt: str | None = None,
    ) -> None:
        refuse_stock_values(
            "CrossAlignTextEmbedder",
            precision=precision,
            quantization_ranges=quantization_ranges,
            backend=backend,
            model_kwargs=model_kwargs,
            tokenizer_kwargs=tokenizer_kwargs,
            config_kwargs=config_kwargs,
            encode_kwargs=encode_kwargs,
        )
        self.model = model
        self.device = device
        self.token = token
        self.prefix = prefix
        self.suffix = suffix
        self.batch_size = batch_size
        self.progress_bar = progress_bar
        self.compute_precision = compute_precision
        self.backend = backend
        self.max_tokens = max_tokens
        self.normalize_embeddings = normalize_embeddings
        self.truncate_dim = truncate_dim
        self.trust_remote_code = trust_remote_code
        self.local_files_only = local_files_only
        self.revision = revision
        self.query_prompt = query_prompt
        self._encoder: Encoder | None = None

    def warm_up(self) -> None:
        """Load the model; a second call does nothing.

        :raises InputError: for a folder without a model, an unknown name, a value out of range, or two prompts.
        :raises ExternalError: if the model cannot be loaded.
        """
        self._prepare_encoder()

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, list[float]]:
        """Embed one query.

        :param text: the query.
        :returns: ``{"embedding": [float, ...]}``.
        :raises TypeError: ``text`` is not a string.
        """
        query = self._prepare_query(text)
        return self._embed(self._prepare_encoder(), query)

    @component.output_types(embedding=list[float])
    async def run_async(self, text: str) -> dict[str, list[float]]:
        """`run` in a thread, so that the event loop stays free; only the first loading of the model holds it.

        :param text: the query.
        :returns: ``{"embedding": [float, ...]}``.
        :raises TypeError: ``text`` is not a string.
        """
        query = self._prepare_query(text)
        return await asyncio.to_thread(self._embed, self._prepare_encoder(), query)

    def to_dict(self) -> dict[str, Any]:
        """Serialize the component."""
        data: dict[str, Any] = default_to_dict(
            self,
            model=self.model,
            device=self.device,
            token=self.token,
            prefix=self.prefix,
            suffix=self.suffix,
            batch_size=self.batch_size,
            progress_bar=self.progress_bar,
            compute_precision=self.compute_precision,
            backend=self.backend,
            max_tokens=self.max_tokens,
            normalize_embeddings=self.normalize_embeddings,
            truncate_dim=self.truncate_dim,
            trust_remote_code=self.trust_remote_code,
            local_files_only=self.local_files_only,
            revision=self.revision,
            query_prompt=self.query_prompt,
        )
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> CrossAlignTextEmbedder:
        """Restore the component from the result of `to_dict`."""
        component: CrossAlignTextEmbedder = default_from_dict(cls, renamed(data))
        return component

    def _prepare_query(self, text: str) -> str:
        if not isinstance(text, str):
            raise TypeError(
                f"CrossAlignTextEmbedder expects a string, not {type(text).__name__}; "
                "CrossAlignDocumentEmbedder takes a list of documents"
            )
        return text + self.suffix

    def _prepare_encoder(self) -> Encoder:
        if self._encoder is None:
            self._encoder = EncoderOptions(
                model=self.model,
                device=self.device,
                token=self.token,
                batch_size=self.batch_size,
                truncate_dim=self.truncate_dim,
                compute_precision=self.compute_precision,
                backend=self.backend,
                max_tokens=self.max_tokens,
                normalize_embeddings=self.normalize_embeddings,
                trust_remote_code=self.trust_remote_code,
                local_files_only=self.local_files_only,
                revision=self.revision,
            ).open(query_prefix=self.prefix, query_prompt=self.query_prompt)
        return self._encoder

    @staticmethod
    def _embed(encoder: Encoder, query: str) -> dict[str, list[float]]:
        return {"embedding": encoder.encode_queries([query])[0].tolist()}

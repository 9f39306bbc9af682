"""A Haystack component that embeds documents with the prompts and settings of their model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.utils import ComponentDevice, Secret

from haystack_crossalign.components.encoding import EncoderOptions, progress, refuse_stock_values, renamed
from haystack_crossalign.models.encoder import Encoder
from haystack_crossalign.models.names import DEFAULT_MODEL


@component
class CrossAlignDocumentEmbedder:
    """Embeds documents; a drop-in for ``SentenceTransformersDocumentEmbedder``.

    It accepts every parameter of that component, or rejects it with a message that says what to use instead.

    It puts the model's document prompt before each text (E5 models need ``passage: ``), normalizes as the model says,
    computes in bf16 if the processor has the instructions, batches texts of similar length and embeds each distinct
    text once.

    ```python
    embedder = CrossAlignDocumentEmbedder(model="intfloat/multilingual-e5-small")
    documents = embedder.run([Document(content="Frauen brauchen 46 g Eiweiß am Tag.")])["documents"]
    ```

    :param model: hub name, folder, or ``offline:multilingual-e5-small`` (a 4-bit copy that needs no hub).
    :param device: device for computing; ``None`` for a GPU if there is one.
    :param token: access token for private models of the hub.
    :param prefix: text before each document; ``None`` for the model's document prompt, ``""`` for none.
    :param document_prompt: name of one of the model's prompts, instead of ``prefix``.
    :param suffix: text after each document.
    :param batch_size: maximum number of texts in a batch; ``None`` for a default that suits the device.
    :param progress_bar: show a bar.
    :param meta_fields_to_embed: meta fields whose values are put before the content.
    :param embedding_separator: text between those values and the content.
    :param compute_precision: how the model computes: ``"auto"``, ``"bf16"`` or ``"fp32"``.
    :param max_tokens: longer texts are cut; ``None`` is the model's own limit.
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
        meta_fields_to_embed: Sequence[str] | None = None,
        embedding_separator: str = "\n",
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
        document_prompt: str | None = None,
    ) -> None:
        refuse_stock_values(
            "CrossAlignDocumentEmbedder",
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
        self.meta_fields_to_embed = list(meta_fields_to_embed or [])
        self.embedding_separator = embedding_separator
        self.compute_precision = compute_precision
        self.backend = backend
        self.max_tokens = max_tokens
        self.normalize_embeddings = normalize_embeddings
        self.truncate_dim = truncate_dim
        self.trust_remote_code = trust_remote_code
        self.local_files_only = local_files_only
        self.revision = revision
        self.document_prompt = document_prompt
        self._encoder: Encoder | None = None

    def warm_up(self) -> None:
        """Load the model; a second call does nothing.

        :raises InputError: for a folder without a model, an unknown name, a value out of range, or two prompts.
        :raises ExternalError: if the model cannot be loaded.
        """
        self._prepare_encoder()

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Embed documents.

        :param documents: any number of documents; they are not changed.
        :returns: ``{"documents": [...]}``, new documents with their embeddings, in the same order.
        :raises TypeError: ``documents`` is not a list of documents.
        """
        texts = self._prepare_texts(documents)
        return self._embed(self._prepare_encoder(), documents, texts)

    @component.output_types(documents=list[Document])
    async def run_async(self, documents: list[Document]) -> dict[str, list[Document]]:
        """`run` in a thread, so that the event loop stays free; only the first loading of the model holds it.

        :param documents: any number of documents; they are not changed.
        :returns: ``{"documents": [...]}``, new documents with their embeddings, in the same order.
        :raises TypeError: ``documents`` is not a list of documents.
        """
        texts = self._prepare_texts(documents)
        return await asyncio.to_thread(self._embed, self._prepare_encoder(), documents, texts)

    def provenance(self) -> dict[str, Any]:
        """Description of the model (see `Encoder.provenance`); a model loaded only for this is released again.

        :raises InputError: as `warm_up`.
        :raises ExternalError: the model cannot be loaded.
        """
        loaded = self._encoder
        provenance = self._prepare_encoder().provenance()
        self._encoder = loaded
        return provenance

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
            meta_fields_to_embed=self.meta_fields_to_embed,
            embedding_separator=self.embedding_separator,
            compute_precision=self.compute_precision,
            backend=self.backend,
            max_tokens=self.max_tokens,
            normalize_embeddings=self.normalize_embeddings,
            truncate_dim=self.truncate_dim,
            trust_remote_code=self.trust_remote_code,
            local_files_only=self.local_files_only,
            revision=self.revision,
            document_prompt=self.document_prompt,
        )
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> CrossAlignDocumentEmbedder:
        """Restore the component from the result of `to_dict`."""
        component: CrossAlignDocumentEmbedder = default_from_dict(cls, renamed(data))
        return component

    def _prepare_texts(self, documents: list[Document]) -> list[str]:
        if not isinstance(documents, list) or not all(isinstance(document, Document) for document in documents):
            raise TypeError(
                "CrossAlignDocumentEmbedder expects a list of documents; CrossAlignTextEmbedder takes a string"
            )
        return [self._text(document) for document in documents]

    def _text(self, document: Document) -> str:
        values = (document.meta.get(field) for field in self.meta_fields_to_embed)
        parts = [str(value) for value in values if value is not None]
        return self.embedding_separator.join([*parts, document.content or ""]) + self.suffix

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
            ).open(document_prefix=self.prefix, document_prompt=self.document_prompt)
        return self._encoder

    def _embed(self, encoder: Encoder, documents: list[Document], texts: list[str]) -> dict[str, list[Document]]:
        with progress(self.progress_bar and bool(texts), "Embedding") as report:
            vectors = encoder.encode_documents(texts, progress=report)
        pairs = zip(documents, vectors.tolist(), strict=True)
        return {"documents": [replace(document, embedding=vector) for document, vector in pairs]}

"""Embed queries and documents with a sentence-transformers model."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.models.batches import length_batches
from haystack_crossalign.models.direct.model import DirectModel
from haystack_crossalign.models.direct.network import Normalize
from haystack_crossalign.models.limits import NO_LIMIT, cut_texts
from haystack_crossalign.models.loading import LoadOptions, load_model
from haystack_crossalign.models.names import BACKENDS, DEFAULT_MODEL
from haystack_crossalign.models.notes import model_notes
from haystack_crossalign.models.prompts import PromptChoice, Prompts, resolve_prompts
from haystack_crossalign.models.quiet import announced
from haystack_crossalign.precision import default_device, resolve_precision
from haystack_crossalign.ranks import Similarity, parse_similarity

if TYPE_CHECKING:
    from haystack_crossalign.models.openvino.network import OpenVinoTransformer

Progress = Callable[[int, int], None]
_Role = Literal["query", "document"]
_Features = dict[str, Any]

# Number of tokens in a batch including padding. On a CPU, small batches keep the activations of a layer in its cache:
# 1,024 was the fastest of 512, 1,024, 2,048 and 4,096 in bf16 (one thread, AVX512-BF16). A GPU needs large batches; its
# value was not measured.
_BATCH_TOKENS = {"cpu": 1024}
_BATCH_TOKENS_ELSEWHERE = 16384
# OpenVINO was the fastest with 4,096 of 1,024, 2,048 and 4,096 by 5 % (bf16, AMX), but streams want batches to share.
_BATCH_TOKENS_OPENVINO = 2048
# Number of texts tokenized and sorted together: enough to find texts of similar length, few enough for memory.
_WINDOW = 4096
_MIN_TOKENS = 8


class Encoder:
    """An embedding model with its prompts, precision and limits.

    Each distinct text is embedded once, so equal texts have bit-identical vectors. Pooling and normalization are
    computed in float32, whatever the precision of the transformer. Calls with the same texts, machine and number of
    threads give the same results.

    :param model: hub name, folder, or ``offline:multilingual-e5-small``.
    :param device: torch device; ``None`` for a GPU if there is one.
    :param precision: ``"auto"`` is bf16 if the processor has the instructions, else float32.
    :param backend: what computes the transformer: ``"torch"``, or ``"openvino"`` on a CPU, with the extra of that name.
    :param max_tokens: longer texts are cut after this many tokens; ``None`` is the model's own limit.
    :param normalize: whether vectors have unit length; ``None`` to follow the model.
    :param query_prefix: replaces the model's query prompt; ``""`` for none.
    :param document_prefix: replaces the model's document prompt.
    :param query_prompt: name of the model's prompt for queries, if the model has several.
    :param document_prompt: the same for documents.
    :param pooling: for a folder without modules.json: ``mean``, ``cls`` or ``lasttoken``.
    :param batch_tokens: tokens in a batch including padding; ``None`` for a default that suits the device.
    :param batch_size: maximum number of texts in a batch; ``None`` for no limit other than the tokens.
    :param truncate_dim: keep only this many dimensions; vectors of unit length are normalized again.
    :param revision: branch, tag or commit on the hub.
    :param token: access token for the hub.
    :param local_files_only: never contact the hub. :param trust_remote_code: run code that comes with the model.
    :raises InputError: a folder without a model, an unknown name or a value out of range.
    :raises ExternalError: the model cannot be loaded.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        device: str | None = None,
        precision: str = "auto",
        backend: str = "torch",
        max_tokens: int | None = None,
        normalize: bool | None = None,
        query_prefix: str | None = None,
        document_prefix: str | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        pooling: str | None = None,
        batch_tokens: int | None = None,
        batch_size: int | None = None,
        truncate_dim: int | None = None,
        revision: str | None = None,
        token: str | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
    ) -> None:
        if backend not in BACKENDS:
            raise InputError("unknown backend", field="backend", seen=backend, allowed=", ".join(BACKENDS))
        self._backend = backend
        if backend == "openvino":
            from haystack_crossalign.models.openvino.network import check_options

            self._precision = check_options(resolve_precision(precision), precision, device)
            device = "cpu"
        else:
            device = device or default_device()
            self._precision = resolve_precision(precision, device)
        for name, value in (("batch_tokens", batch_tokens), ("batch_size", batch_size), ("truncate_dim", truncate_dim)):
            if value is not None and value < 1:
                raise InputError("out of range", field=name, seen=value, allowed="1 or more")
        loaded = load_model(
            model,
            device=device,
            dtype=torch.bfloat16 if self._precision == "bf16" and backend == "torch" else torch.float32,
            options=LoadOptions(revision, token, local_files_only, trust_remote_code, pooling),
            direct=True,
        )
        self._name, self._sha256, self._revision = loaded.name, loaded.sha256, loaded.revision
        self._pooling, self._pooling_source = loaded.pooling, loaded.pooling_source
        self._model = loaded.model.requires_grad_(False)
        self._transformer: OpenVinoTransformer | None = None
        default_tokens = _BATCH_TOKENS.get(self._model.device.type, _BATCH_TOKENS_ELSEWHERE)
        if backend == "openvino":
            from haystack_crossalign.models.openvino.network import use_openvino

            with announced(f"Preparing the model {model} for OpenVINO"):
                self._transformer = use_openvino(
                    self._model, self._name, self._precision, sha256=self._sha256, own_code=trust_remote_code
                )
            default_tokens = _BATCH_TOKENS_OPENVINO
        self._batch_tokens = batch_tokens or default_tokens
        self._batch_size = batch_size
        self._max_tokens = _limit_tokens(self._model, max_tokens)
        self._normalize = _settle_normalization(self._model, normalize)
        _pool_in_float32(self._model)
        self.prompts: Prompts = resolve_prompts(
            self._model.prompts,
            loaded.names,
            PromptChoice(query_prefix, document_prefix, query_prompt, document_prompt),
        )
        if truncate_dim is not None:
            self._model.truncate_dim = truncate_dim
        self._cut: dict[_Role, int] = {"query": 0, "document": 0}
        # Truncation is a state of the tokenizer, so threads must not use it concurrently.
        self._lock = threading.Lock()
        self._dimension: int = self._encode(["a"], "query", None)[0].shape[1]
        if truncate_dim is not None and truncate_dim > self._dimension:
            raise InputError(
                "more than the model has", field="truncate_dim", seen=truncate_dim, allowed=f"1 to {self._dimension}"
            )

    @property
    def dimension(self) -> int:
        """Numbers per vector."""
        return self._dimension

    @property
    def similarity(self) -> Similarity:
        """The similarity that the model states; cosine if it states none, as in sentence-transformers."""
        return parse_similarity(self._model.similarity_fn_name, source=self._name, field="similarity_fn_name")

    def with_prompts(self, prompts: Prompts) -> Encoder:
        """The same model with other prompts; nothing is loaded again, and both can be used.

        :param prompts: the prompts of queries and documents.
        """
        other = self.counting_anew()
        other.prompts = prompts
        return other

    def counting_anew(self) -> Encoder:
        """The same model with its count of cut texts reset, so that a result counts only its own texts."""
        other = copy.copy(self)
        other._cut = {"query": 0, "document": 0}
        return other

    def encode_queries(self, texts: Sequence[str], *, progress: Progress | None = None) -> NDArray[np.float32]:
        """Embed queries, with the query prompt.

        :param texts: any number of texts.
        :param progress: called with (distinct texts done, distinct texts) after each batch.
        :returns: float32 [n, dimension], C-contiguous, in the order of ``texts``.
        :raises ExternalError: the model gave a vector that is not finite.
        """
        return self._distinct(texts, "query", progress)

    def encode_documents(self, texts: Sequence[str], *, progress: Progress | None = None) -> NDArray[np.float32]:
        """Embed documents, with the document prompt; otherwise as `encode_queries`."""
        return self._distinct(texts, "document", progress)

    def provenance(self) -> dict[str, Any]:
        """Description of the model and its settings, ready for JSON.

        ``sha256`` is that of the weights; ``revision`` the commit on the hub; ``prompts_from`` one of ``model``,
        ``option``, ``family:e5`` (the model has none, but its family was trained with them) and ``none``;
        ``prompt_names`` the names of the prompts in the model's configuration; ``pooling_from`` one of ``model``,
        ``option`` and ``default`` (the model does not say); ``cut_texts`` the number of texts so far that were longer
        than ``max_tokens``; ``notes`` what a reader of the figures should know about the model.
        """
        return {
            "name": self._name,
            "sha256": self._sha256,
            "revision": self._revision,
            "dimension": self._dimension,
            "precision": self._precision,
            "backend": self._backend,
            "max_tokens": self._max_tokens,
            "prompts": {"query": self.prompts.query, "document": self.prompts.document},
            "prompts_from": self.prompts.source,
            "prompt_names": {"query": self.prompts.query_name, "document": self.prompts.document_name},
            "pooling": self._pooling,
            "pooling_from": self._pooling_source,
            "cut_texts": {"queries": self._cut["query"], "documents": self._cut["document"]},
            "notes": model_notes(self.prompts, self._pooling, self._pooling_source),
            "normalized": self._normalize,
            "similarity": self.similarity,
        }

    def _distinct(self, texts: Sequence[str], role: _Role, progress: Progress | None) -> NDArray[np.float32]:
        rows: dict[str, int] = {}
        positions = np.fromiter((rows.setdefault(text, len(rows)) for text in texts), dtype=np.intp, count=len(texts))
        if not rows:
            return np.empty((0, self._dimension), dtype=np.float32)
        with self._lock:
            vectors, cut = self._encode(list(rows), role, progress)
            self._cut[role] += int(cut[positions].sum())
        return vectors if len(rows) == len(texts) else np.ascontiguousarray(vectors[positions])

    def _encode(
        self, texts: list[str], role: _Role, progress: Progress | None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Embed texts; also returns which of them were cut."""
        vectors: NDArray[np.float32] | None = None
        cut = np.zeros(len(texts), dtype=np.bool_)
        done = 0
        with torch.inference_mode():
            batches = self._batches(texts, role, cut)
            if self._transformer is not None:
                batches = self._transformer.started(batches)
            for rows, features in batches:
                batch = self._forward(features, role)
                if vectors is None:
                    vectors = np.empty((len(texts), batch.shape[1]), dtype=np.float32)
                vectors[rows] = batch
                self._check(batch, [texts[row] for row in rows])
                done += len(rows)
                if progress is not None:
                    progress(done, len(texts))
        if vectors is None:  # unreachable: there is at least one text, hence one batch
            raise ExternalError(f"the model {self._name} gave no vectors")
        return vectors, cut

    def _forward(self, features: _Features, role: _Role) -> NDArray[np.float32]:
        with self._errors():
            output = self._model(_moved(features, self._model.device), task=role)["sentence_embedding"]
            if self._model.truncate_dim is not None:
                output = output[:, : self._model.truncate_dim]
            if self._normalize:
                output = torch.nn.functional.normalize(output.float(), dim=-1)
            vectors: NDArray[np.float32] = output.float().cpu().numpy()
            return vectors

    def _preprocess(self, texts: list[str], role: _Role) -> _Features:
        prompt = self.prompts.query if role == "query" else self.prompts.document
        with self._errors():
            features: _Features = self._model.preprocess(texts, prompt=prompt or None, task=role)
            return features

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn any exception of the libraries, or of the model's code, into one message."""
        try:
            yield
        except Exception as error:
            reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
            raise ExternalError(f"the model {self._name} cannot embed a text: {reason[:400]}") from error

    def _batches(
        self, texts: list[str], role: _Role, cut: NDArray[np.bool_]
    ) -> Iterator[tuple[NDArray[np.intp], _Features]]:
        for start in range(0, len(texts), _WINDOW):
            window = texts[start : start + _WINDOW]
            features = self._preprocess(window, role)
            mask = features.get("attention_mask")
            if isinstance(mask, torch.Tensor) and mask.shape == features["input_ids"].shape == (
                len(window),
                mask.shape[1],
            ):
                lengths = mask.sum(dim=1).numpy()
                cut[start : start + len(window)] = cut_texts(
                    self._model, window, lengths, self._max_tokens, lambda longest: self._preprocess(longest, role)
                )
                budget = self._batch_tokens
                if self._transformer is not None:  # a few texts are shared by all streams
                    budget = min(budget, -(-int(lengths.sum()) // self._transformer.streams))
                for rows in length_batches(lengths, budget, self._batch_size):
                    yield rows + start, _take(features, torch.from_numpy(rows), len(window))
            else:
                # Flattened or bag-of-words input cannot be split afterwards: tokenize again, batch by batch.
                lengths = np.array([len(text) for text in window], dtype=np.int64)
                for rows in length_batches(lengths, self._batch_tokens * 4, self._batch_size):
                    yield rows + start, self._preprocess([window[row] for row in rows], role)

    def _check(self, batch: NDArray[np.float32], texts: list[str]) -> None:
        finite = np.isfinite(batch).all(axis=1)
        if not finite.all():
            raise ExternalError(
                f"the model {self._name} gave a vector that is not finite for {texts[int(np.argmin(finite))][:80]!r}; "
                "try --precision fp32"
            )


def _moved(features: _Features, device: torch.device) -> _Features:
    return {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in features.items()}


def _take(features: _Features, rows: torch.Tensor, count: int) -> _Features:
    """The features of some rows of a padded batch, without columns that are padding in all of them."""
    mask = features["attention_mask"]
    used = mask[rows].any(dim=0).nonzero()
    first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
    taken: _Features = {}
    for name, value in features.items():
        if isinstance(value, torch.Tensor) and value.ndim > 0 and value.shape[0] == count:
            value = value[rows, first:last] if value.shape[1:2] == mask.shape[1:2] else value[rows]
        taken[name] = value
    return taken


def _limit_tokens(model: Any, wanted: int | None) -> int | None:
    stated = model.max_seq_length
    # A limit that is not an integer means no limit: a model without positions has an infinite one.
    limit: int | None = stated if isinstance(stated, int) and stated <= NO_LIMIT else None
    if wanted is None:
        return limit
    if wanted < _MIN_TOKENS or (limit is not None and wanted > limit):
        allowed = f"{_MIN_TOKENS} or more" if limit is None else f"{_MIN_TOKENS} to {limit} (the model's limit)"
        raise InputError("out of range", field="max_tokens", seen=wanted, allowed=allowed)
    model.max_seq_length = wanted
    return wanted


def _settle_normalization(model: Any, wanted: bool | None) -> bool:
    """Remove the model's own normalization if it is the last module; return whether vectors get unit length."""
    own = isinstance(model[-1], Normalize)
    if not own and not isinstance(model, DirectModel):
        from sentence_transformers.sentence_transformer.modules import Normalize as StockNormalize

        own = isinstance(model[-1], StockNormalize)
    if own:
        # The encoder normalizes instead: after truncation to fewer dimensions, and in float32.
        del model[-1]
    return own if wanted is None else wanted


def _pool_in_float32(model: Any) -> None:
    """Compute all modules after the transformer in float32: a rounded mean of hundreds of tokens loses accuracy."""

    def widen(_module: torch.nn.Module, _inputs: Any, output: Any) -> Any:
        for name in ("token_embeddings", "sentence_embedding", "cls_token_embeddings"):
            value = output.get(name)
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                output[name] = value.float()
        return output

    model[0].register_forward_hook(widen)
    for module in list(model)[1:]:
        module.float()

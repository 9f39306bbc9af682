"""Check whether vectors of a model match the stored ones, and if not, which way of embedding does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.models.prompts import E5_PROMPTS, Prompts
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.model.probe import StoredText, sample_texts, stored_cosines, stored_lengths

if TYPE_CHECKING:
    from haystack_crossalign.audit.run import Embedder

SAME = 0.99
"""Least median cosine between a stored vector and that of the same text, model and prompt. Other number formats cost
little: bf16 against float32 gave 0.9999 and more for the 4-bit multilingual-e5-small."""

OUTLIER = SAME - 2 * (1 - SAME)
"""Below this a single document does not fit although others do."""

EQUAL = 0.9995
"""From here on no other way of embedding needs to be tried: without its prompt that model's median was 0.991."""

_CLEARLY = 0.5
"""Another prompt fits clearly better where it leaves less than this part of the distance."""

_RELATED = 0.5
"""Vectors are related where a text is nearer to its own stored vector than to another's by this part of the way."""

_LENGTH = 0.02
"""Relative tolerance of lengths: bytes and bf16 change them by less."""

_CONFIGURED, _TITLED = "as the model says", "with the title in front"


@runtime_checkable
class PromptedEmbedder(Protocol):
    """What can embed with other prompts."""

    prompts: Prompts

    def with_prompts(self, prompts: Prompts) -> Embedder:
        """The same model with other prompts."""


@dataclass(frozen=True)
class Fit:
    """The result of the comparison.

    :param ok: whether the model's vectors match, or nothing could be compared.
    :param findings: sentences on observations and advice.
    :param cosines: cosines of the documents by way of embedding.
    """

    ok: bool
    findings: tuple[str, ...] = ()
    cosines: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def fit_model(
    view: IndexView,
    encoder: Embedder,
    *,
    sample: int,
    seed: int,
    content_field: str,
    title_field: str | None = None,
) -> Fit:
    """Embed some stored documents again and compare.

    :param view: index, fields and filter.
    :param encoder: the model.
    :param sample: maximum documents to embed.
    :param seed: of the draw.
    :param content_field: field that holds the text.
    :param title_field: field whose value may be put before the text.
    """
    documents = sample_texts(view, count=sample, seed=seed, content_field=content_field, title_field=title_field)
    if not documents:
        return Fit(True, (_nothing_stored(content_field),))
    probe = _Probe(view, encoder, documents)
    vectors = encoder.encode_documents([document.text for document in documents])
    if vectors.shape[1] != view.fields.vector.dimension:
        return Fit(False, (wrong_dimension(view, f"'{probe.name}'", vectors.shape[1]),))
    configured = probe.compare(_CONFIGURED, vectors)
    if configured < EQUAL and isinstance(encoder, PromptedEmbedder):
        for label, prompt in _other_prompts(encoder.prompts).items():
            other = encoder.with_prompts(Prompts(encoder.prompts.query, prompt, "option"))
            probe.compare(label, other.encode_documents([document.text for document in documents]))
    if probe.best()[1] < SAME and any(document.title for document in documents):
        titled = [f"{document.title}\n{document.text}" for document in documents]
        probe.compare(_TITLED, encoder.encode_documents(titled))
    return probe.verdict(vectors)


def wrong_dimension(view: IndexView, name: str, dimension: int) -> str:
    """The finding for a model whose vectors the field cannot hold."""
    stored = view.fields.vector
    return (
        f"the vectors in '{stored.name}' have {stored.dimension} dimensions, those of {name} {dimension}: "
        "another model made them; name it (--model)"
    )


class _Probe:
    """Cosines of the same documents embedded in several ways."""

    def __init__(self, view: IndexView, encoder: Embedder, documents: Sequence[StoredText]) -> None:
        self.name = str(encoder.provenance().get("name"))
        self._view, self._encoder, self._documents = view, encoder, documents
        self._cosines: dict[str, NDArray[np.float64]] = {}

    def compare(self, label: str, vectors: NDArray[np.float32]) -> float:
        """Median cosine with the stored vectors; 0 if all documents were deleted."""
        cosines = self._cosines[label] = stored_cosines(self._view, self._documents, vectors)
        return _median(cosines)

    def best(self) -> tuple[str, float]:
        """The way that fits best; of equal ones the first."""
        medians = {label: _median(cosines) for label, cosines in self._cosines.items()}
        label = max(medians, key=medians.__getitem__)
        return label, medians[label]

    def verdict(self, vectors: NDArray[np.float32]) -> Fit:
        """Interpret the cosines.

        :param vectors: the documents embedded with the model's settings.
        """
        cosines = {label: tuple(values[~np.isnan(values)].tolist()) for label, values in self._cosines.items()}
        if not cosines[_CONFIGURED]:
            return Fit(True, ("no stored vector could be compared: the documents were deleted meanwhile",))
        configured, (label, best) = _median(self._cosines[_CONFIGURED]), self.best()
        if best < SAME:
            return Fit(False, (self._foreign(vectors, label, best),), cosines)
        findings = []
        if label == _TITLED:
            findings.append(f"the stored vectors fit only {_TITLED} of the text (median cosine {best:.4f})")
        elif configured < SAME or 1 - best < _CLEARLY * (1 - configured):
            findings.append(self._other_prompt(label, best, configured))
        faults = findings[:] if label != _TITLED else []
        if (lengths := self._lengths(vectors)) is not None:
            findings.append(lengths)
            faults.append(lengths)
        findings += self._outliers(label)
        return Fit(not faults, tuple(findings), cosines)

    def _other_prompt(self, label: str, best: float, configured: float) -> str:
        prompt = self._encoder.prompts.document if isinstance(self._encoder, PromptedEmbedder) else ""
        used = f"with its prompt '{prompt}'" if prompt else "without a prompt"
        return (
            f"the documents were embedded {label}, but {self._model} is used {used}: median cosine {best:.4f} and "
            f"{configured:.4f} with the stored vectors; reindex the documents, or use the model the way the index "
            "was made (--document-prefix, --query-prefix)"
        )

    def _foreign(self, vectors: NDArray[np.float32], label: str, best: float) -> str:
        compared = len(self._documents)
        seen = f"embedded again with {self._model}, {compared} documents have a median cosine of {best:.3f} with their "
        seen += f"stored vectors ({label}; the same model gives {SAME} and more)"
        others = _median(stored_cosines(self._view, self._documents, np.roll(vectors, 1, axis=0)))
        if compared > 1 and best - others > _RELATED * (1 - others):
            return (
                f"{seen}, yet only {others:.3f} with those of others: a like model made them (fine-tuned, with fewer "
                "bits), or from more than this text (a title or other fields: --title-field); name the model that did "
                "(--model)"
            )
        if others > SAME:
            return f"{seen}; the stored vectors are all alike, so that nothing can be told from them"
        return (
            f"{seen}: another model made them; name it (--model), or the field that holds their text (--content-field)"
        )

    def _lengths(self, vectors: NDArray[np.float32]) -> str | None:
        """The finding for vectors of different lengths; lengths do not matter for cosine, and byte vectors are
        always scaled.
        """
        stored = self._view.fields.vector
        if stored.space_type == "cosinesimil" or stored.data_type == "byte":
            return None
        seen = stored_lengths(self._view, self._documents)
        made = np.linalg.norm(vectors.astype(np.float64), axis=1)
        ratios = (seen / made)[~np.isnan(seen)]
        if np.all(np.abs(ratios - 1) <= _LENGTH):
            return None
        return (
            f"the stored vectors have a length of {np.nanmedian(seen):.3g} (median), those of {self._model} "
            f"{np.median(made):.3g}, and '{stored.space_type}' depends on it: normalize both or neither"
        )

    def _outliers(self, label: str) -> list[str]:
        cosines = self._cosines[label]
        rows = np.flatnonzero(cosines < OUTLIER)
        if not len(rows):
            return []
        shown = ", ".join(f"'{self._documents[row].identifier}' ({cosines[row]:.3f})" for row in rows[:3])
        measured = np.count_nonzero(~np.isnan(cosines))
        return [
            f"{len(rows)} of {measured} documents do not fit although most do: {shown}; they were "
            "changed without being embedded again, made from other text, or by another model"
        ]

    @property
    def _model(self) -> str:
        return f"'{self.name}'"


def _other_prompts(prompts: Prompts) -> dict[str, str]:
    """Common mistakes in embedding documents, by description."""
    ways = {"": "without a prompt"}
    if prompts.query:
        ways[prompts.query] = f"with the query prompt '{prompts.query}'"
    for prompt in E5_PROMPTS:
        ways.setdefault(prompt, f"with the prompt '{prompt}'")
    return {label: prompt for prompt, label in ways.items() if prompt != prompts.document}


def _median(cosines: NDArray[np.float64]) -> float:
    return 0.0 if np.isnan(cosines).all() else float(np.nanmedian(cosines))


def _nothing_stored(content_field: str) -> str:
    return (
        f"the model could not be checked: no document has a text in '{content_field}' of its stored source; name the "
        "field that holds it (--content-field), and make sure that the model is the one of the index"
    )

"""The model of an audit, and how it is used."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haystack_crossalign.errors import InputError
from haystack_crossalign.models.names import BACKENDS, DEFAULT_MODEL, POOLINGS
from haystack_crossalign.models.quiet import announced
from haystack_crossalign.signals import import_torch, importing

if TYPE_CHECKING:
    from haystack_crossalign.audit.run import Embedder
    from haystack_crossalign.models.encoder import Encoder
    from haystack_crossalign.opensearch.connection.settings import LiveSettings
    from haystack_crossalign.ranks import Similarity


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The model, or the embedders of a pipeline, and how it is used.

    :param model: hub name, folder, or ``offline:multilingual-e5-small``; ``cluster:`` and the id of a model inside the
        cluster, for an audit of an index; None for the default model.
    :param embedder: a file with Haystack embedders, instead of a model.
    :param precision: ``auto``, ``bf16`` or ``fp32``.
    :param backend: ``torch`` or ``openvino``.
    :param max_tokens: texts are cut after this many tokens.
    :param similarity: similarity for ranking; None for the model's.
    :param query_prefix: text before each query.
    :param document_prefix: text before each document.
    :param query_prompt: name of one of the model's prompts, for queries.
    :param document_prompt: the same for documents.
    :param pooling: for a model without modules.json.
    :param trust_remote_code: run code that comes with the model.
    :param local_files_only: never ask the hub.
    """

    model: str | None = None
    embedder: Path | None = None
    precision: str = "auto"
    backend: str = "torch"
    max_tokens: int | None = None
    similarity: str | None = None
    query_prefix: str | None = None
    document_prefix: str | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    pooling: str | None = None
    trust_remote_code: bool = False
    local_files_only: bool = False

    @property
    def given(self) -> dict[str, Any]:
        """Arguments of an `Encoder`, other than the model, that differ from their defaults."""
        return {
            entry.name: getattr(self, entry.name)
            for entry in fields(ModelOptions)
            if entry.name not in ("model", "embedder", "similarity") and getattr(self, entry.name) != entry.default
        }

    @property
    def named(self) -> list[str]:
        """The options that were given, as on the command line; without the similarity, which needs no model."""
        named = [name for name in ("model", "embedder") if getattr(self, name) is not None]
        return [f"--{name.replace('_', '-')}" for name in (*named, *self.given)]

    def unused(self, why: str) -> str | None:
        """That no model is used, with the options that have no effect; None if none was given.

        :param why: what makes a model needless, such as ``the files carry vectors``.
        """
        options = self.named
        have = "has" if len(options) == 1 else "have"
        return f"{why}, so no model is used, and {', '.join(options)} {have} no effect" if options else None

    @property
    def compared_by(self) -> Similarity | None:
        """The requested similarity; None for the model's.

        :raises InputError: for an unknown name.
        """
        if self.similarity is None:
            return None
        from haystack_crossalign.ranks import parse_similarity

        return parse_similarity(self.similarity, source="--similarity")

    def check(self) -> None:
        """Reject options that contradict each other or do not exist, before anything is read.

        :raises InputError: naming the option.
        """
        from haystack_crossalign.precision import PRECISIONS

        if self.precision not in PRECISIONS:
            raise InputError(
                "unknown precision", source="--precision", seen=self.precision, allowed=", ".join(PRECISIONS)
            )
        if self.backend not in BACKENDS:
            raise InputError("unknown backend", source="--backend", seen=self.backend, allowed=", ".join(BACKENDS))
        if self.pooling is not None and self.pooling not in POOLINGS:
            raise InputError("unknown pooling", source="--pooling", seen=self.pooling, allowed=", ".join(POOLINGS))
        for role in ("query", "document"):
            if getattr(self, f"{role}_prefix") is not None and getattr(self, f"{role}_prompt") is not None:
                raise InputError(
                    f"--{role}-prefix and --{role}-prompt exclude each other",
                    source=f"--{role}-prompt",
                    allowed="one of them",
                )
        if self.embedder is None:
            return
        if self.model is not None:
            raise InputError("--model and --embedder exclude each other", allowed="one of them")
        if self.given and set(self.given) != {"trust_remote_code"}:
            name = next(name for name in self.given if name != "trust_remote_code")
            option = f"--{name.replace('_', '-')}"
            raise InputError(
                f"{option} is for --model; with --embedder it stands in its file",
                source="--embedder",
                allowed=f"--embedder without {option}",
            )

    def open(self) -> Embedder:
        """The model or the Haystack embedders.

        :raises InputError: if the file or the name is invalid.
        :raises ExternalError: if the model cannot be loaded.
        """
        if self.embedder is not None:
            # Its components are imported, and constructed, but load no model yet.
            with announced(f"Loading the embedders of {self.embedder.name}"), importing():
                from haystack_crossalign.pipelines.embedder import PipelineEmbedder

                return PipelineEmbedder.from_yaml(self.embedder, trust_remote_code=self.trust_remote_code)
        return self.encoder()

    def with_profile(self, settings: LiveSettings) -> ModelOptions:
        """The options with the prompts of a profile for roles without a given prefix or prompt.

        :param settings: of the index, with a text or a name for each role, or neither.
        """
        own = {
            role: (getattr(self, f"{role}_prefix"), getattr(self, f"{role}_prompt")) for role in ("query", "document")
        }
        if own["query"] == (None, None):
            own["query"] = (settings.query_prefix, settings.query_prompt)
        if own["document"] == (None, None):
            own["document"] = (settings.document_prefix, settings.document_prompt)
        return replace(
            self,
            query_prefix=own["query"][0],
            query_prompt=own["query"][1],
            document_prefix=own["document"][0],
            document_prompt=own["document"][1],
        )

    def encoder(self, name: str | None = None) -> Encoder:
        """Load the model.

        :param name: overrides the model's name.
        :raises CrossAlignError: as `open`.
        """
        options = self.given
        name = name or self.model or DEFAULT_MODEL
        try:
            with announced(f"Loading the model {name}"):
                import_torch()
                from haystack_crossalign.models.encoder import Encoder

                return Encoder(name, **options)
        except InputError as error:
            if error.field not in options:
                raise
            option = f"--{error.field.replace('_', '-')}"
            raise InputError(error.problem, source=option, seen=error.seen, allowed=error.allowed) from error

"""Requests for audits of a live index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haystack_crossalign.api.requests.judged import Judged
from haystack_crossalign.errors import InputError, refuse_without_effect
from haystack_crossalign.opensearch.connection.settings import LiveSettings

if TYPE_CHECKING:
    from haystack_crossalign.opensearch.audit.options import AuditOptions

RETRIEVALS = (
    "knn",
    "bm25",
    "hybrid",
    "hybrid:rrf",
    "hybrid:minmax",
    "hybrid:native-rrf",
    "hybrid:native-minmax",
)
"""Lists that can be retrieved from an index; ``hybrid`` is short for ``hybrid:rrf``."""


@dataclass(frozen=True, kw_only=True)
class IndexRequest(Judged):
    """An audit of a live index, which is only read.

    :param settings: the index, its fields, the connection, and limits of the load.
    :param live: lists that users get, from `RETRIEVALS`; None for ``knn``, or for none if there are requests.
    :param live_fields: fields of the keyword search, such as ``title^2``; empty for the content field of the settings
        if it is not the default one, else for all fields.
    :param requests: files with your own searches, whose lists are added under the files' names; see
        `haystack_crossalign.opensearch.requests.file.read_request`.
    :param request_size: number of documents to request, instead of that in the files.
    :param pipeline: a Haystack query pipeline in YAML, whose lists replace these.
    :param id_field: meta field with the ids of the pipeline's documents in the index.
    :param user_filter: OpenSearch query that restricts the pool.
    :param sample: share of the index to score for each query; None for all of it.
    :param probes: number of contents to make queries from, if there are no queries.
    :param accept_model: continue if the model does not seem to be the index's; the result says so.
    :param state: file for finished work.
    :param resume: file of an earlier audit to continue.
    """

    settings: LiveSettings = field(default_factory=LiveSettings)
    live: Sequence[str] | None = None
    live_fields: Sequence[str] = ()
    requests: Sequence[Path] = ()
    request_size: int | None = None
    pipeline: Path | None = None
    id_field: str | None = None
    user_filter: dict[str, Any] | None = None
    sample: float | None = None
    probes: int | None = None
    accept_model: bool = False
    state: Path | None = None
    resume: Path | None = None

    @property
    def retrievals(self) -> tuple[str, ...]:
        """Names of the retrieved lists, as in the rows of the result."""
        return (*self.lists, *(Path(path).stem for path in self.requests))

    @property
    def lists(self) -> tuple[str, ...]:
        """Those of them that are not the requests'."""
        from haystack_crossalign.audit.gate import SHORT_NAMES

        if self.pipeline is not None:
            return ("pipeline",)
        retrievals = self.live if self.live is not None else () if self.requests else ("knn",)
        return tuple(dict.fromkeys(SHORT_NAMES.get(name, name) for name in retrievals))

    def check(self) -> None:
        """Reject contradictory options and missing files, before any request to the cluster.

        :raises InputError: naming the option.
        """
        self.model.check()
        if self.model.similarity is not None:
            raise InputError(
                "an index ranks by the space of its vector field, which the result names",
                source="--similarity",
                seen=self.model.similarity,
                allowed="--index without --similarity",
            )
        if self.state is not None and self.resume is not None:
            raise InputError("--state begins a file, --resume goes on with one", allowed="one of them")
        # Both are checked again when they are used.
        if self.state is not None and self.state.exists():
            raise InputError(
                "already exists", source="--state", seen=str(self.state), allowed="a new file, or --resume to go on"
            )
        if self.resume is not None and not self.resume.is_file():
            raise InputError("no such file", source="--resume", seen=str(self.resume))
        if self.queries is None and (self.qrels is not None or self.workbench is not None):
            raise InputError("judgments without queries", source="--qrels", allowed="--queries FILE")
        self._check_effects()
        for name in self.live or ():
            if name not in RETRIEVALS:
                raise InputError("unknown list", source="--live", seen=name, allowed=", ".join(RETRIEVALS))
        self.check_count()
        self._check_requests()
        if self.sample is not None and not 0 < self.sample < 1:
            raise InputError(
                "not a share of the documents", source="--sample", seen=self.sample, allowed="more than 0, less than 1"
            )

    def _check_effects(self) -> None:
        asked = self.queries is not None
        refuse_without_effect(
            ("--id-field", self.id_field is not None, self.pipeline is not None, "--pipeline FILE"),
            ("--probes", self.probes is not None, not asked, "--index without --queries"),
            ("--relevance-level", self.relevance_level != IndexRequest.relevance_level, asked, "--queries FILE"),
            ("--query-language", self.query_language is not None, asked, "--queries FILE"),
            ("--expand-groups", self.expand_groups is not None, asked, "--queries FILE"),
            ("--skip-invalid", self.skip_invalid, asked, "--queries FILE"),
        )

    def _check_requests(self) -> None:
        from haystack_crossalign.opensearch.live.text_fields import check_text_fields
        from haystack_crossalign.opensearch.requests.file import read_requests

        check_text_fields(self.live_fields)
        if self.live_fields and not any(name.startswith(("bm25", "hybrid")) for name in self.lists):
            raise InputError(
                "no list searches words", source="--live-fields", seen=list(self.live_fields), allowed="--live bm25"
            )
        if self.request_size is not None and not self.requests:
            raise InputError("is for --request", source="--request-size", allowed="--request FILE with it")
        read_requests(self.requests, size=self.request_size)
        if "hybrid" in (self.live or ()) and "hybrid" in self.retrievals:
            raise InputError("two lists are called hybrid", source="--request", allowed="another name of the file")

    def options(self) -> AuditOptions:
        """What is measured, in the form needed for the audit of an index.

        :raises InputError: for an unknown language or measure.
        """
        from haystack_crossalign.languages import normalize_language
        from haystack_crossalign.opensearch.audit.options import AuditOptions

        measured = self.measured
        languages, measures = measured.languages, measured.chosen_measures
        if languages is not None:
            languages = tuple(dict.fromkeys(normalize_language(tag, source="--languages") for tag in languages))
        return AuditOptions(
            scenarios=tuple(measured.scenarios),
            languages=languages,
            pairs=None if measured.pairs is None else normalize_language(measured.pairs, source="--pairs"),
            user_filter=self.user_filter,
            measures=None if measures is None else tuple(measures),
            also=tuple(measured.also),
            sample=self.sample,
            samples=measured.samples,
            seed=measured.seed,
            count=self.count,
        )

    def described(self, options: AuditOptions) -> dict[str, Any]:
        """The user's choices, without file names, as JSON values.

        :param options: those of this request.
        """
        return {
            **{name: value for name, value in self.settings.describe().items() if value is not None},
            **self.measured.described,
            "languages": None if options.languages is None else list(options.languages),
            "pairs": options.pairs,
            "filter": self.user_filter,
            "live": list(self.retrievals),
            **({"live_fields": list(self.live_fields)} if self.live_fields else {}),
            **({} if self.request_size is None else {"request_size": self.request_size}),
            "sample": self.sample,
            "probes": self.probes,
            "expand_groups": self.expand_groups,
            **self.described_judgments,
        }

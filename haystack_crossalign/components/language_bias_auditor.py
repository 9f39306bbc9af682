"""Haystack component that audits the results of any retriever for language bias."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from haystack import Document, component, default_from_dict, default_to_dict
from numpy.typing import NDArray

from haystack_crossalign.audit.assemble import EXAMPLES, Example, RankedRow, assemble_result
from haystack_crossalign.audit.provenance import build_provenance
from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.audit.scenarios import Scenario
from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import UNDETERMINED, normalize_language
from haystack_crossalign.measures import Complete, default_measures, evaluate, parse_measure, select_queries
from haystack_crossalign.pipelines.documents import RetrievedArrays, retrieved_arrays
from haystack_crossalign.ranks import RankTable, ranks_from_lists
from haystack_crossalign.ranks.result_lists import with_asked_depth


@component
class LanguageBiasAuditor:
    """Audits retrieved documents: the rank of each language version of the answer.

    It is used like Haystack's document evaluators: ``score`` is Complete@K, the share of queries whose relevant
    versions are all in the top K, ``individual_scores`` the same per query, and ``audit_result`` everything else. A
    relevant document that is not in the list is *censored*: its rank is beyond the list, and it is never averaged as if
    its rank were known.

    A list shorter than ``depth`` is assumed to have ended by itself: documents that it lacks were not found at all.

    :param document_comparison_field: field by which retrieved and relevant documents are matched: "content", "id", or
        "meta." and a key.
    :param language_field: meta field that holds a document's language.
    :param group_field: meta field that versions of one content share. Documents with the same group and language are
        chunks of one version, which has the rank of its best chunk.
    :param complete_at: K of the score.
    :param depth: number of documents requested from the retriever (its ``top_k``); the length of the longest list if
        None or smaller.
    :param measures: names of the measures of ``audit_result``; the default ones if None.
    :param samples: bootstrap samples behind each interval.
    :param seed: seed of the bootstrap.
    """

    def __init__(
        self,
        *,
        document_comparison_field: str = "content",
        language_field: str = "language",
        group_field: str = "parallel_id",
        complete_at: int = 10,
        depth: int | None = None,
        measures: list[str] | None = None,
        samples: int = 1000,
        seed: int = 0,
    ) -> None:
        self.document_comparison_field = document_comparison_field
        self.language_field = language_field
        self.group_field = group_field
        self.complete_at = complete_at
        self.depth = depth
        self.measures = measures
        self.samples = samples
        self.seed = seed

    def to_dict(self) -> dict[str, Any]:
        """Serialize the component."""
        data: dict[str, Any] = default_to_dict(
            self,
            document_comparison_field=self.document_comparison_field,
            language_field=self.language_field,
            group_field=self.group_field,
            complete_at=self.complete_at,
            depth=self.depth,
            measures=self.measures,
            samples=self.samples,
            seed=self.seed,
        )
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LanguageBiasAuditor:
        """Restore the component from the result of `to_dict`."""
        component: LanguageBiasAuditor = default_from_dict(cls, data)
        return component

    @component.output_types(score=float | None, individual_scores=list[float | None], audit_result=AuditResult)
    def run(
        self,
        queries: list[str],
        query_languages: list[str],
        ground_truth_documents: list[list[Document]],
        retrieved_documents: list[list[Document]],
        pool_size: int | None = None,
    ) -> dict[str, Any]:
        """Audit the result lists of some queries.

        :param queries: texts of the queries.
        :param query_languages: language of each query.
        :param ground_truth_documents: the relevant documents of each query, with their languages in the meta.
        :param retrieved_documents: the result list of each query, best first.
        :param pool_size: number of versions in the index, if known; needed for Max@R_norm.
        :returns: ``score`` (None if it is undefined, with the reason in the result), ``individual_scores`` and
            ``audit_result``.
        :raises InputError: for inputs of different lengths, no queries, an unknown language, a query without a relevant
            document, or a relevant document without a language.
        """
        languages = self._prepare_languages(queries, query_languages, ground_truth_documents, retrieved_documents)
        arrays = retrieved_arrays(
            ground_truth_documents,
            retrieved_documents,
            languages,
            comparison_field=self.document_comparison_field,
            language_field=self.language_field,
            group_field=self.group_field,
        )
        table = self._prepare_table(arrays, languages, retrieved_documents, pool_size)
        complete = evaluate(table, [parse_measure(f"Complete@{self.complete_at}")])[f"Complete@{self.complete_at}"]
        individual = [None if np.isnan(value) else value for value in complete.values.tolist()]
        known = [value for value in individual if value is not None]
        hidden = bool(complete.censored.any())
        return {
            "score": None if hidden or not known else float(np.mean(known)),
            "individual_scores": individual,
            "audit_result": self._result(queries, languages, arrays, table),
        }

    @component.output_types(score=float | None, individual_scores=list[float | None], audit_result=AuditResult)
    async def run_async(
        self,
        queries: list[str],
        query_languages: list[str],
        ground_truth_documents: list[list[Document]],
        retrieved_documents: list[list[Document]],
        pool_size: int | None = None,
    ) -> dict[str, Any]:
        """`run` in a thread, since a bootstrap over many queries would block the event loop."""
        return await asyncio.to_thread(
            self.run, queries, query_languages, ground_truth_documents, retrieved_documents, pool_size
        )

    def _prepare_languages(
        self,
        queries: Sequence[str],
        query_languages: Sequence[str],
        ground_truth_documents: Sequence[Sequence[Document]],
        retrieved_documents: Sequence[Sequence[Document]],
    ) -> list[str]:
        lengths = {
            "queries": len(queries),
            "query_languages": len(query_languages),
            "ground_truth_documents": len(ground_truth_documents),
            "retrieved_documents": len(retrieved_documents),
        }
        if len(set(lengths.values())) > 1:
            raise InputError(
                "inputs of different lengths",
                source="LanguageBiasAuditor",
                seen=lengths,
                allowed="one entry per query in each input",
            )
        if not queries:
            raise InputError("no queries", source="LanguageBiasAuditor", field="queries", allowed="at least one query")
        return [
            normalize_language(tag, source="LanguageBiasAuditor", field=f"query_languages[{number}]")
            for number, tag in enumerate(query_languages)
        ]

    def _prepare_table(
        self,
        arrays: RetrievedArrays,
        languages: Sequence[str],
        retrieved_documents: Sequence[Sequence[Document]],
        pool_size: int | None,
    ) -> RankTable:
        seen = int(arrays.versions.max()) + 1
        if pool_size is not None and pool_size < seen:
            raise InputError(
                "the pool is smaller than what was retrieved from it or is relevant",
                source="LanguageBiasAuditor",
                field="pool_size",
                seen=pool_size,
                allowed=f"{seen} or more",
            )
        table = ranks_from_lists(
            arrays.retrieved,
            document_languages=arrays.document_languages,
            languages=arrays.languages,
            query_languages=np.array([arrays.languages.index(tag) for tag in languages], dtype=np.int32),
            relevant=arrays.relevant,
            tie_order=arrays.tie_order,
            versions=arrays.versions,
            scores=arrays.scores,
            pool_size=pool_size,
        )
        return with_asked_depth(table, [len(listed) for listed in retrieved_documents], self.depth)

    def _result(
        self, queries: Sequence[str], languages: Sequence[str], arrays: RetrievedArrays, table: RankTable
    ) -> AuditResult:
        pool = tuple(arrays.languages[code] for code in table.pool_languages)
        known = tuple(tag for tag in pool if tag != UNDETERMINED)
        measures = [parse_measure(name) for name in self.measures] if self.measures else list(default_measures(known))
        score = Complete(self.complete_at)
        if score not in measures:
            measures.append(score)
        described = {
            document.id: {
                "language": arrays.languages[code],
                "group": str(document.meta.get(self.group_field, document.id)),
                "text": document.content or "",
            }
            for document, code in zip(arrays.documents, arrays.document_languages.tolist(), strict=True)
        }

        def ranked() -> Iterator[RankedRow]:
            for language in sorted(set(languages)):
                chosen = [query for query, tag in enumerate(languages) if tag == language]
                yield RankedRow(
                    Scenario(_scenario(known, language), pool, language),
                    select_queries(table, np.array(chosen)),
                    ids=[str(query) for query in chosen],
                    languages=[language] * len(chosen),
                    texts=[queries[query] for query in chosen],
                    show=partial(_examples, arrays, np.array(chosen)),
                    describe=described.__getitem__,
                )

        options = {name: value for name, value in self.to_dict()["init_parameters"].items() if name != "seed"}
        return assemble_result(
            ranked(),
            provenance=build_provenance(
                "LanguageBiasAuditor",
                {"name": "retrieved documents", "pool": None, "files": []},
                model=None,
                options=options,
                seed=self.seed,
            ),
            measures=measures,
            samples=self.samples,
            seed=self.seed,
        )


def _scenario(pool: Sequence[str], language: str) -> str:
    if len(pool) > 1:
        return "multi"
    return "mono-same" if language in pool else "mono-cross"


def _examples(arrays: RetrievedArrays, chosen: NDArray[np.int64], places: NDArray[np.int64]) -> list[Example]:
    first_of: dict[int, int] = {}
    for index in np.argsort(arrays.tie_order).tolist():
        first_of.setdefault(int(arrays.versions[index]), index)
    examples = []
    for query in chosen[places].tolist():
        top = [index for index in arrays.retrieved[query, :EXAMPLES].tolist() if index >= 0]
        relevant = [first_of[version] for version in arrays.relevant[query].tolist() if version >= 0]
        examples.append(
            Example(
                documents=[arrays.documents[index].id for index in top],
                scores=[None] * len(top)
                if arrays.scores is None
                else [score if np.isfinite(score) else None for score in arrays.scores[query, : len(top)].tolist()],
                relevant=[arrays.documents[index].id for index in relevant],
            )
        )
    return examples

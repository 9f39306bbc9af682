"""Haystack components. Each is imported on first use, so that importing this package is cheap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haystack_crossalign._lazy import lazy_names

if TYPE_CHECKING:
    from haystack_crossalign.components.balance.language_balanced_retriever import LanguageBalancedRetriever
    from haystack_crossalign.components.balance.own_language_ranker import OwnLanguageRanker
    from haystack_crossalign.components.balance.version_collapser import VersionCollapser
    from haystack_crossalign.components.document_embedder import CrossAlignDocumentEmbedder
    from haystack_crossalign.components.document_writer import CrossAlignDocumentWriter
    from haystack_crossalign.components.embedding_retriever import CrossAlignEmbeddingRetriever
    from haystack_crossalign.components.index_reader import IndexDocumentReader
    from haystack_crossalign.components.language_bias_auditor import LanguageBiasAuditor
    from haystack_crossalign.components.language_tagger import LanguageTagger
    from haystack_crossalign.components.matrix_embedder import MatrixDocumentEmbedder
    from haystack_crossalign.components.query_list import QueryListRunner
    from haystack_crossalign.components.text_embedder import CrossAlignTextEmbedder
    from haystack_crossalign.components.trainer import CrossAlignTrainer

__all__ = [
    "CrossAlignDocumentEmbedder",
    "CrossAlignDocumentWriter",
    "CrossAlignEmbeddingRetriever",
    "CrossAlignTextEmbedder",
    "CrossAlignTrainer",
    "IndexDocumentReader",
    "LanguageBalancedRetriever",
    "LanguageBiasAuditor",
    "LanguageTagger",
    "MatrixDocumentEmbedder",
    "OwnLanguageRanker",
    "QueryListRunner",
    "VersionCollapser",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "CrossAlignDocumentEmbedder": "document_embedder",
        "CrossAlignDocumentWriter": "document_writer",
        "CrossAlignEmbeddingRetriever": "embedding_retriever",
        "CrossAlignTextEmbedder": "text_embedder",
        "CrossAlignTrainer": "trainer",
        "LanguageBalancedRetriever": "balance.language_balanced_retriever",
        "IndexDocumentReader": "index_reader",
        "LanguageBiasAuditor": "language_bias_auditor",
        "LanguageTagger": "language_tagger",
        "MatrixDocumentEmbedder": "matrix_embedder",
        "OwnLanguageRanker": "balance.own_language_ranker",
        "QueryListRunner": "query_list",
        "VersionCollapser": "balance.version_collapser",
    },
)

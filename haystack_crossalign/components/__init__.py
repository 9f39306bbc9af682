"""Haystack components. Each is imported when it is first asked for, so that this import stays light."""

from __future__ import annotations

from typing import TYPE_CHECKING

from haystack_crossalign._lazy import lazy_names

if TYPE_CHECKING:
    from haystack_crossalign.components.document_embedder import CrossAlignDocumentEmbedder
    from haystack_crossalign.components.document_writer import CrossAlignDocumentWriter
    from haystack_crossalign.components.embedding_retriever import CrossAlignEmbeddingRetriever
    from haystack_crossalign.components.language_bias_auditor import LanguageBiasAuditor
    from haystack_crossalign.components.language_tagger import LanguageTagger
    from haystack_crossalign.components.query_list import QueryListRunner
    from haystack_crossalign.components.text_embedder import CrossAlignTextEmbedder
    from haystack_crossalign.components.trainer import CrossAlignTrainer

__all__ = [
    "CrossAlignDocumentEmbedder",
    "CrossAlignDocumentWriter",
    "CrossAlignEmbeddingRetriever",
    "CrossAlignTextEmbedder",
    "CrossAlignTrainer",
    "LanguageBiasAuditor",
    "LanguageTagger",
    "QueryListRunner",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "CrossAlignDocumentEmbedder": "document_embedder",
        "CrossAlignDocumentWriter": "document_writer",
        "CrossAlignEmbeddingRetriever": "embedding_retriever",
        "CrossAlignTextEmbedder": "text_embedder",
        "CrossAlignTrainer": "trainer",
        "LanguageBiasAuditor": "language_bias_auditor",
        "LanguageTagger": "language_tagger",
        "QueryListRunner": "query_list",
    },
)

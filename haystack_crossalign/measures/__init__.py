"""Measures of language bias and of relevance: pure functions from a rank table to one value per query."""

from haystack_crossalign.measures.aggregate import RowStatistics, aggregate
from haystack_crossalign.measures.base import Measure, QueryValues, evaluate, select_queries
from haystack_crossalign.measures.depth import (
    Complete,
    MaxAtR,
    MaxAtRNorm,
    RankOf,
    max_at_r_lower_bound,
)
from haystack_crossalign.measures.fairness import EqualExpectedRank, TargetLanguageRecall
from haystack_crossalign.measures.language import Intrusion, LangNDCG, LanguagePreferenceRate, Top1, intrusion_matrix
from haystack_crossalign.measures.lists import Exposure, MeanRankCorrelation
from haystack_crossalign.measures.parse import default_measures, gap_measures, parse_measure, recorded_depth
from haystack_crossalign.measures.relevance import MRR, NDCG, Recall
from haystack_crossalign.measures.ties import TieValues, tie_values
from haystack_crossalign.measures.translation import OtherOnly, OtherOnlyFound

__all__ = [
    "MRR",
    "NDCG",
    "Complete",
    "EqualExpectedRank",
    "Exposure",
    "Intrusion",
    "LangNDCG",
    "LanguagePreferenceRate",
    "MaxAtR",
    "MaxAtRNorm",
    "MeanRankCorrelation",
    "Measure",
    "OtherOnly",
    "OtherOnlyFound",
    "QueryValues",
    "RankOf",
    "Recall",
    "RowStatistics",
    "TargetLanguageRecall",
    "TieValues",
    "Top1",
    "aggregate",
    "default_measures",
    "evaluate",
    "gap_measures",
    "intrusion_matrix",
    "max_at_r_lower_bound",
    "parse_measure",
    "recorded_depth",
    "select_queries",
    "tie_values",
]

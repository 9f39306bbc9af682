"""Ranks of relevant versions: exact ones over a whole pool, and those of result lists."""

from haystack_crossalign.ranks.exact import exact_ranks
from haystack_crossalign.ranks.result_lists import ranks_from_lists
from haystack_crossalign.ranks.table import ABSENT, CENSORED, RankTable
from haystack_crossalign.ranks.topk import exact_top_k

__all__ = ["ABSENT", "CENSORED", "RankTable", "exact_ranks", "exact_top_k", "ranks_from_lists"]

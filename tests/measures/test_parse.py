"""Names of measures: what is understood, what is refused, and what a measure says about itself."""

import re

import numpy as np
import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.measures import (
    MRR,
    NDCG,
    Complete,
    Intrusion,
    LangNDCG,
    LanguagePreferenceRate,
    MaxAtR,
    MaxAtRNorm,
    RankOf,
    Recall,
    Top1,
    default_measures,
    parse_measure,
)
from haystack_crossalign.measures.parse import known_measure


@pytest.mark.parametrize(
    ("spelling", "measure"),
    [
        ("Max@R", MaxAtR()),
        ("max@r_NORM", MaxAtRNorm()),
        ("Complete@10", Complete(10)),
        ("NDCG@1", NDCG(1)),
        ("nDCG@10", NDCG(10)),
        ("MRR", MRR()),
        ("RR", MRR()),
        ("MRR@10", MRR(10)),
        ("RR@5", MRR(5)),
        ("Recall@100", Recall(100)),
        ("R@10", Recall(10)),
        ("Rank[zh]", RankOf("zh")),
        ("Rank[zho_Hans]", RankOf("zh")),
        ("intrusion[EN]", Intrusion("en")),
        ("LPR", LanguagePreferenceRate()),
        (" lang-ndcg@10 ", LangNDCG(10)),
        ("Top1[relevant,same]", Top1("relevant", "same")),
        ("Top1[other, other]", Top1("other", "other")),
    ],
)
def test_names_and_common_spellings_are_understood(spelling, measure):
    assert parse_measure(spelling) == measure


@pytest.mark.parametrize(
    "spelling",
    [
        *("", "P@10", "NDCG", "Complete", "Complete@0", "Complete@-1", "Complete@1.5", "Complete@ten"),
        *("Complete@10000000000", "Max@R@10", "Max@10", "Rank", "Rank[]", "Top1", "Top1[same,relevant]"),
        *("LPR@10", "MRR[zh]", "NDCG@１０"),
    ],
)
def test_other_names_are_refused_with_the_names_allowed(spelling):
    with pytest.raises(InputError) as caught:
        parse_measure(spelling)
    assert caught.value.exit_code == 2
    assert repr(spelling) in str(caught.value)
    assert "Complete@K" in str(caught.value)


def test_an_unknown_language_is_refused_by_its_name():
    with pytest.raises(InputError, match="Klingonese"):
        parse_measure("Rank[Klingonese]")


def test_every_default_measure_is_read_back_from_its_name():
    measures = default_measures(("en", "zh-Hant"))
    assert [parse_measure(measure.name) for measure in measures] == list(measures)
    assert len({measure.name for measure in measures}) == len(measures)


def test_default_measures_name_every_pool_language():
    names = [measure.name for measure in default_measures(("ar", "en"))]
    assert [name for name in names if "[a" in name or "[e" in name] == [
        "Rank[ar]",
        "Rank[en]",
        "Intrusion[ar]",
        "Intrusion[en]",
    ]


def test_measures_know_their_unit_and_their_better_end():
    measures = default_measures(("en", "zh"))
    units = {measure.name: measure.unit for measure in measures}
    ranks, counts = {"Max@R", "Rank[en]", "Rank[zh]"}, {"Intrusion[en]", "Intrusion[zh]"}
    assert {name for name, unit in units.items() if unit == "rank"} == ranks
    assert {name for name, unit in units.items() if unit == "count"} == counts
    directions = {measure.name: measure.direction for measure in measures}
    worse = {"Top1[other,same]", "Top1[other,other]"}
    assert {name for name, direction in directions.items() if direction < 0} == ranks | counts | worse
    assert {name for name, direction in directions.items() if direction == 0} == {"LPR", "Top1[relevant,other]"}


def test_every_measure_has_a_definition():
    for measure in default_measures(("en",)):
        assert measure.definition.endswith(".")
        assert measure.title
        assert str(measure) == measure.name


def test_names_of_results_are_known_whatever_their_language():
    assert known_measure("Rank[und]") == RankOf("und")
    assert known_measure("Rank[zh-Hant]") == RankOf("zh-Hant")
    assert known_measure("Own") is None
    assert known_measure("Own[und]") is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Complete(0), "field 'cutoff': is too small; seen: 0; allowed: 1 to 999999999"),
        (lambda: NDCG(-1), "field 'cutoff': is too small; seen: -1"),
        (lambda: MRR(2.5), "field 'cutoff': is not a whole number; seen: 2.5"),
        (lambda: Recall(True), "field 'cutoff': is not a whole number; seen: True"),
        (lambda: LangNDCG(10**9), "field 'cutoff': is too large; seen: 1000000000"),
        (lambda: Top1("same", "relevant"), "field 'relevance': unknown choice; seen: 'same'; allowed: relevant, other"),
        (lambda: Top1("other", "zh"), "field 'language': unknown choice; seen: 'zh'; allowed: same, other"),
    ],
)
def test_a_measure_made_by_hand_takes_what_its_name_would(make, message):
    with pytest.raises(InputError, match=re.escape(message)):
        make()


def test_whole_numbers_of_numpy_are_cut_offs():
    assert Complete(np.int64(10)) == Complete(10)
    assert MRR(None) == MRR()

"""Names of measures: what is understood, what is refused, and what a measure says about itself."""

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


def test_measures_know_their_range_and_their_better_end():
    measures = default_measures(("en", "zh"))
    counts = {"Max@R", "Rank[en]", "Rank[zh]", "Intrusion[en]", "Intrusion[zh]"}
    assert {measure.name for measure in measures if not measure.bounded} == counts
    worse = counts | {"Top1[other,same]", "Top1[other,other]"}
    assert {measure.name for measure in measures if not measure.higher_is_better} == worse
    assert {measure.name for measure in measures if measure.is_rank} == {"Max@R", "Rank[en]", "Rank[zh]"}


def test_every_measure_says_in_one_line_what_it_is():
    for measure in default_measures(("en",)):
        assert measure.doc.endswith(".")
        assert "\n" not in measure.doc
        assert str(measure) == measure.name

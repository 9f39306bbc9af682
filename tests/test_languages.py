"""Spellings of languages, and what is no language."""

from __future__ import annotations

import itertools
import string
import tomllib
from pathlib import Path

import langcodes
import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import (
    display_name,
    is_missing_language,
    is_rtl,
    likely_script,
    normalize_language,
)

BENCHMARKS = tomllib.loads((Path(__file__).parent / "support" / "benchmark_codes.toml").read_text("utf-8"))
CODES = {name: benchmark["codes"].split() for name, benchmark in BENCHMARKS.items()}
# Two-letter codes are those of ISO 639-1; the three letters of the other benchmarks by ISO 639-3.
TWO_LETTERS = (
    "ar:arb bn:ben de:deu el:ell en:eng es:spa fa:pes fi:fin fr:fra hi:hin id:ind ja:jpn ko:kor ro:ron ru:rus sw:swh "
    "te:tel th:tha tr:tur vi:vie yo:yor zh:zho"
)
# Codes of one language: the macrolanguage and its standard variety, or the code before and after ISO 639-3 changed it.
SYNONYMS = """
aze=azj fas=pes lav=lvs mlg=plt mon=khk msa=zsm nep=npi orm=gaz pus=pbt sqi=als swa=swh uzb=uzn est=ekk zho=cmn
grn=gug ajp=apc
"""
# Languages of codes of their own that are one here: what CLDR replaces by one code, and Norwegian.
MERGED = "pes=prs twi=aka nob=nno tgl=fil"
# Codes without a script whose benchmark writes something else than FLORES' (first) script of that language.
SCRIPTS = {"zho-CN": "Hans", "zho-TW": "Hant", "zho": "Hans", "zh": "Hans", "srp-Latn": "Latn"}


@pytest.mark.parametrize(
    ("spelling", "tag"),
    [
        ("zho_Hans", "zh"),
        ("zh_CN", "zh"),
        ("zh-CN", "zh"),
        ("zh-Hans", "zh"),
        ("zh-SG", "zh"),
        ("cmn", "zh"),
        ("zh-CHS", "zh"),
        ("zhs", "zh"),
        ("Chinese (Simplified)", "zh"),
        ("Chinese", "zh"),
        ("chinese", "zh"),
        ("中文", "zh"),
        ("Simplified Chinese", "zh"),
        ("zh-Hant", "zh-Hant"),
        ("zho_Hant", "zh-Hant"),
        ("zh-TW", "zh-Hant"),
        ("zh_HK", "zh-Hant"),
        ("zh-Hant-HK", "zh-Hant"),
        ("zh-CHT", "zh-Hant"),
        ("zh_cht", "zh-Hant"),
        ("ZHT", "zh-Hant"),
        ("Chinese (Traditional)", "zh-Hant"),
        ("chinese (traditional)", "zh-Hant"),
        ("Traditional Chinese", "zh-Hant"),
        ("yue", "yue"),
        ("zh-yue", "yue"),
        ("zh-min-nan", "nan-Hant"),
        ("nan-TW", "nan-Hant"),
        ("nan_Latn", "nan-Latn"),
        ("Min Nan Chinese", "nan-Hant"),
        ("eng_Latn", "en"),
        ("en-US", "en"),
        ("ENGLISH", "en"),
        (" en ", "en"),
        ("arb_Arab", "ar"),
        ("ar-EG", "ar"),
        ("العربية", "ar"),
        ("arb_Latn", "ar-Latn"),
        ("arz_Arab", "arz"),
        ("PT-br", "pt"),
        ("Brazilian Portuguese", "pt"),
        ("sr", "sr"),
        ("srp_Cyrl", "sr"),
        ("sr-Latn", "sr-Latn"),
        ("cnr", "sr-Latn"),
        ("sh", "sr-Latn"),
        ("srp_Latn", "sr-Latn"),
        ("Serbian (Latin)", "sr-Latn"),
        ("sr_RS.UTF-8@latin", "sr-Latn"),
        ("uz-Cyrl", "uz-Cyrl"),
        ("uzn_Latn", "uz"),
        ("jpn_Jpan", "ja"),
        ("jpn_Hira", "ja"),
        ("日本語", "ja"),
        ("kor_Hang", "ko"),
        ("pes_Arab", "fa"),
        ("Farsi", "fa"),
        ("iw", "he"),
        ("in", "id"),
        ("ji", "yi"),
        ("jw", "jv"),
        ("mo", "ro"),
        ("tl", "fil"),
        ("tgl_Latn", "fil"),
        ("deu", "de"),
        ("ger", "de"),
        ("Deutsch", "de"),
        ("ไทย", "th"),
        ("Tiếng Việt", "vi"),
        ("ell_Grek", "el"),
        ("en_US.UTF-8", "en"),
        ("pt_BR", "pt"),
        ("de_DE@euro", "de"),
        ("no", "no"),
        ("nb", "no"),
        ("nob_Latn", "no"),
        ("nn-NO", "no"),
        ("Norwegian Bokmål", "no"),
        ("kmr", "ku"),
        ("kmr_Latn", "ku"),
        ("ckb", "ckb"),
        ("ckb_Arab", "ckb"),
        ("acm", "acm"),
        ("acm_Arab", "acm"),
        ("acm-IQ", "acm"),
        ("pbt", "ps"),
        ("pbt_Arab", "ps"),
        ("pus", "ps"),
        ("azb", "az-Arab"),
        ("azb_Arab", "az-Arab"),
        ("az_IR", "az-Arab"),
        ("crh", "crh"),
        ("crh_Latn", "crh"),
        ("crh-Cyrl", "crh-Cyrl"),
        ("apc_Arab_nort3139", "apc"),
        ("na", "na"),
    ],
)
def test_spellings_of_one_language_become_one_tag(spelling: str, tag: str) -> None:
    assert normalize_language(spelling) == tag


@pytest.mark.parametrize("tag", ["zh", "zh-Hant", "sr-Latn", "ar", "ko", "fil", "ur-Latn", "nan-Hant"])
def test_canonical_tags_stay_as_they_are(tag: str) -> None:
    assert normalize_language(tag) == tag


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            " ",
            "e",
            "xx",
            "xx-foo",
            "zzz",
            "en-foobar",
            "en-Xyzw",
            "en-Zzzz",
            "en--US",
            "zh CN",
            "en.US",
            "de_DE.none",
            "C",
        ),
        *("und", "und-Latn", "mul", "mis", "zxx", "root", "qaa"),
        *("klingonish", "banana", "language", "unknown", "Unknown language", "None", "null", "text", "NA"),
        *("Chinese (Klingonish)", "Banana (Latin)", "German (fr)"),
        *(None, 3, True, ["en"]),
    ],
)
def test_what_names_no_language_is_refused_with_its_place(value: object) -> None:
    with pytest.raises(InputError) as caught:
        normalize_language(value, source="documents.jsonl", line=7, field="language")
    assert str(caught.value) == (
        f"documents.jsonl, line 7, field 'language': unknown language; seen: {value!r}; allowed: a BCP-47 tag or "
        "ISO 639 code such as 'zh', 'zh-Hant' or 'zho_Hans', or a language name"
    )


@pytest.mark.parametrize("value", ["nan", "NaN", "NAN", " nan "])
def test_a_missing_number_as_text_is_not_min_nan(value: str) -> None:
    with pytest.raises(InputError) as caught:
        normalize_language(value, source="documents.jsonl", line=7, field="language")
    assert str(caught.value) == (
        f"documents.jsonl, line 7, field 'language': no language (a missing value as text); seen: {value!r}; allowed: "
        "a BCP-47 tag or ISO 639 code such as 'zh', 'zh-Hant' or 'zho_Hans', or a language name; Min Nan Chinese is "
        "'nan-Hant' or 'nan-Latn'"
    )


@pytest.mark.parametrize(
    "value",
    [
        None,
        float("nan"),
        "",
        " ",
        "nan",
        "NaN",
        "NA",
        "None",
        "null",
        "NULL",
        "n/a",
        "N/A",
        "<NA>",
        "-",
        "?",
        "unknown",
    ],
)
def test_what_stands_for_a_missing_value_is_missing(value: object) -> None:
    assert is_missing_language(value)


@pytest.mark.parametrize("value", ["na", "nan-Hant", "en", "und", "klingonish", 0, 1.5, False, ["nan"]])
def test_what_is_there_is_not_missing(value: object) -> None:
    assert not is_missing_language(value)


def test_languages_are_the_same_when_language_and_script_agree() -> None:
    assert normalize_language("zh") == normalize_language("zh-CN")
    assert normalize_language("zh-CN") == normalize_language("zh-Hans")
    assert normalize_language("zh-TW") == normalize_language("zh-Hant")
    assert normalize_language("zh") != normalize_language("zh-Hant")
    assert normalize_language("zh") != normalize_language("yue")


def test_display_names_are_english() -> None:
    assert display_name("zh") == "Chinese"
    assert display_name("zho_Hant") == "Chinese (Traditional)"
    assert display_name("arb_Arab") == "Arabic"


def test_what_is_no_language_has_a_name_to_show_and_no_direction() -> None:
    assert display_name("und") == "undetermined language"
    assert display_name("not a tag") == "not a tag"
    assert not is_rtl("und")
    assert not is_rtl("not a tag")


@pytest.mark.parametrize(("tag", "expected"), [("ar", True), ("he", True), ("fa", True), ("ur", True), ("ckb", True)])
def test_right_to_left_languages(tag: str, expected: bool) -> None:
    assert is_rtl(tag) is expected


@pytest.mark.parametrize("tag", ["en", "zh", "ur-Latn", "ar-Latn", "th"])
def test_left_to_right_languages(tag: str) -> None:
    assert not is_rtl(tag)


def test_the_122_variants_of_belebele_keep_apart() -> None:
    variants = """
    acm_Arab afr_Latn als_Latn amh_Ethi apc_Arab arb_Arab arb_Latn ars_Arab ary_Arab arz_Arab asm_Beng azj_Latn bam_Latn
    ben_Beng ben_Latn bod_Tibt bul_Cyrl cat_Latn ceb_Latn ces_Latn ckb_Arab dan_Latn deu_Latn ell_Grek eng_Latn est_Latn
    eus_Latn fin_Latn fra_Latn fuv_Latn gaz_Latn grn_Latn guj_Gujr hat_Latn hau_Latn heb_Hebr hin_Deva hin_Latn hrv_Latn
    hun_Latn hye_Armn ibo_Latn ilo_Latn ind_Latn isl_Latn ita_Latn jav_Latn jpn_Jpan kac_Latn kan_Knda kat_Geor kaz_Cyrl
    kea_Latn khk_Cyrl khm_Khmr kin_Latn kir_Cyrl kor_Hang lao_Laoo lin_Latn lit_Latn lug_Latn luo_Latn lvs_Latn mal_Mlym
    mar_Deva mkd_Cyrl mlt_Latn mri_Latn mya_Mymr nld_Latn nob_Latn npi_Deva npi_Latn nso_Latn nya_Latn ory_Orya pan_Guru
    pbt_Arab pes_Arab plt_Latn pol_Latn por_Latn ron_Latn rus_Cyrl shn_Mymr sin_Latn sin_Sinh slk_Latn slv_Latn sna_Latn
    snd_Arab som_Latn sot_Latn spa_Latn srp_Cyrl ssw_Latn sun_Latn swe_Latn swh_Latn tam_Taml tel_Telu tgk_Cyrl tgl_Latn
    tha_Thai tir_Ethi tsn_Latn tso_Latn tur_Latn ukr_Cyrl urd_Arab urd_Latn uzn_Latn vie_Latn war_Latn wol_Latn xho_Latn
    yor_Latn zho_Hans zho_Hant zsm_Latn zul_Latn
    """
    codes = variants.split()
    assert len(codes) == 122
    assert len({normalize_language(code) for code in codes}) == 122


def _key(code: str) -> tuple[str, str]:
    """Language and script of a benchmark's code, by the tables above and the scripts of FLORES."""
    stem, _, rest = code.replace("-", "_").partition("_")
    stem = dict(pair.split(":") for pair in TWO_LETTERS.split()).get(stem, stem)
    scripts = {one[:3]: one[4:8] for one in sorted(CODES["flores200"] + CODES["flores_plus"], reverse=True)}
    same = {pair[:3]: pair[4:] for pair in SYNONYMS.split() + MERGED.split()}
    script = rest[:4] if len(rest) >= 4 else SCRIPTS.get(code, "")
    script = script or scripts.get(stem, "")
    while stem in same:
        stem = same[stem]
        script = script or scripts.get(stem, "")
    return stem, script


def test_codes_of_six_benchmarks_meet_where_language_and_script_are_the_same_and_nowhere_else() -> None:
    codes = sorted({code for listed in CODES.values() for code in listed})
    assert {name: len(listed) for name, listed in CODES.items()} == {
        "flores200": 204, "flores_plus": 215, "belebele": 122, "ntrex128": 129, "miracl": 18, "xquad": 12, "mlqa": 7
    }  # fmt: skip
    together: dict[str, set[str]] = {}
    expected: dict[tuple[str, str], set[str]] = {}
    for code in codes:
        together.setdefault(normalize_language(code), set()).add(code)
        expected.setdefault(_key(code), set()).add(code)
    assert sorted(map(sorted, together.values())) == sorted(map(sorted, expected.values()))


def test_within_a_benchmark_only_these_codes_become_one() -> None:
    found: dict[str, set[str]] = {}
    for listed in CODES.values():
        tags: dict[str, list[str]] = {}
        for code in listed:
            tags.setdefault(normalize_language(code), []).append(code)
        for tag, several in tags.items():
            if len(several) > 1:
                found.setdefault(tag, set()).add(" ".join(several))
    assert found == {
        "ak": {"aka_Latn twi_Latn", "twi_Latn_akua1239 twi_Latn_asan1239"},
        "apc": {"ajp_Arab apc_Arab", "apc_Arab_nort3139 apc_Arab_sout3123"},
        "en": {"eng-GB eng-IN eng-US"},
        "es": {"spa spa-MX"},
        "fa": {"pes_Arab prs_Arab", "fas prs"},
        "fr": {"fra fra-CA"},
        "gsw": {"gsw-BE gsw-ZH"},
        "no": {"nno_Latn nob_Latn", "nno nob"},
        "pt": {"por por-BR"},
    }


@pytest.mark.exhaustive
def test_every_display_name_is_understood() -> None:
    letters = string.ascii_lowercase
    two, three = (
        itertools.product(letters, repeat=2),
        itertools.islice(itertools.product(letters, repeat=3), 0, None, 5),
    )
    codes = ["".join(code) for code in itertools.chain(two, three)]
    codes += [code for listed in CODES.values() for code in listed]
    codes += [f"{code}-{script}" for code in ("zh", "sr", "mnw", "uz", "nan") for script in ("Latn", "Cyrl", "Hant")]
    tags = set()
    for code in codes:
        if langcodes.tag_is_valid(code) or "_" in code or "-" in code:
            try:
                tags.add(normalize_language(code))
            except InputError:
                continue
    assert len(tags) > 1500
    assert {tag: display_name(tag) for tag in tags if normalize_language(display_name(tag)) != tag} == {}


def test_names_that_are_codes_of_other_languages_show_their_own_code() -> None:
    # "Mon" is the ISO 639-2 code of Mongolian.
    assert display_name("mnw") == "Mon (mnw)"
    assert normalize_language("Mon") == "mn"


@pytest.mark.parametrize(("tag", "script"), [("acm", "Arab"), ("ps", "Arab"), ("az-Arab", "Arab"), ("crh", "Latn")])
def test_the_script_of_languages_that_cldr_gives_none(tag: str, script: str) -> None:
    assert likely_script(tag) == script


@pytest.mark.parametrize("value", ["\ud800", "en\udc80", "zh-\ud800"])
def test_half_of_a_surrogate_pair_is_no_language(value: str) -> None:
    with pytest.raises(InputError, match="unknown language"):
        normalize_language(value)

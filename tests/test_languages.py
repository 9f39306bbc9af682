"""Spellings of languages, and what is no language."""

from __future__ import annotations

import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.languages import display_name, is_rtl, normalise_language, same_language


@pytest.mark.parametrize(
    ("spelling", "tag"),
    [
        ("zho_Hans", "zh"),
        ("zh_CN", "zh"),
        ("zh-CN", "zh"),
        ("zh-Hans", "zh"),
        ("zh-SG", "zh"),
        ("cmn", "zh"),
        ("Chinese", "zh"),
        ("chinese", "zh"),
        ("中文", "zh"),
        ("Simplified Chinese", "zh"),
        ("zh-Hant", "zh-Hant"),
        ("zho_Hant", "zh-Hant"),
        ("zh-TW", "zh-Hant"),
        ("zh_HK", "zh-Hant"),
        ("Traditional Chinese", "zh-Hant"),
        ("yue", "yue"),
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
        ("jpn_Jpan", "ja"),
        ("jpn_Hira", "ja"),
        ("日本語", "ja"),
        ("kor_Hang", "ko"),
        ("pes_Arab", "fa"),
        ("Farsi", "fa"),
        ("iw", "he"),
        ("in", "id"),
        ("tgl_Latn", "fil"),
        ("deu", "de"),
        ("ger", "de"),
        ("Deutsch", "de"),
        ("ไทย", "th"),
        ("Tiếng Việt", "vi"),
        ("ell_Grek", "el"),
    ],
)
def test_spellings_of_one_language_become_one_tag(spelling: str, tag: str) -> None:
    assert normalise_language(spelling) == tag


@pytest.mark.parametrize("tag", ["zh", "zh-Hant", "sr-Latn", "ar", "ko", "fil", "pbt-Arab", "ur-Latn"])
def test_canonical_tags_stay_as_they_are(tag: str) -> None:
    assert normalise_language(tag) == tag


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", "e", "xx", "xx-foo", "zzz", "en-foobar", "en-Xyzw", "en-Zzzz", "en--US", "zh CN", "en.US"),
        *("und", "und-Latn", "mul", "mis", "zxx", "root", "qaa"),
        *("klingonish", "banana", "language", "unknown", "Unknown language", "None", "null", "text"),
        *(None, 3, True, ["en"]),
    ],
)
def test_what_names_no_language_is_refused_with_its_place(value: object) -> None:
    with pytest.raises(InputError) as caught:
        normalise_language(value, source="documents.jsonl", line=7, field="language")
    assert str(caught.value) == (
        f"documents.jsonl, line 7, field 'language': unknown language; seen: {value!r}; allowed: a BCP-47 tag or "
        "ISO 639 code such as 'zh', 'zh-Hant' or 'zho_Hans', or a language name"
    )


def test_languages_are_the_same_when_language_and_script_agree() -> None:
    assert same_language("zh", "zh-CN")
    assert same_language("zh-CN", "zh-Hans")
    assert same_language("zh-TW", "zh-Hant")
    assert not same_language("zh", "zh-Hant")
    assert not same_language("zh", "yue")


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
    assert len({normalise_language(code) for code in codes}) == 122

#!/usr/bin/env bash
# lingua-language-detector 2.1.1: a word in Latin letters decides the language of a short text whose other words are in a
# script that only one of the languages has, and the confidence is 1.0.
#
# Seen, of a detector for English and Japanese alone: "Wi-Fi ルーターの設定" (Wi-Fi router settings) is English with
#   confidence 1.0, Japanese 0.0; without "Wi-Fi" it is Japanese with 1.0. Of English and Thai: "iPhone เคส" is English
#   with 1.0. With all languages the first is Tsonga with 0.07. Whether it happens depends on the length of the Latin word
#   in a way that nobody expects: "USB ケーブル" is Japanese, "USB-C ケーブル" English, both with 1.0.
# Expected by a user: a script that one of two languages uses, and the other never, decides, or the confidence is low.
# It matters most in an index of several languages, where many queries are a product's name and one word. Here: texts are
#   detected by pycld2 with checks by script; these are Japanese, or left open.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check lingua-language-detector==2.1.1
"$folder/venv/bin/python" - <<'PY'
from lingua import Language, LanguageDetectorBuilder


def seen(detector, text):
    best = detector.compute_language_confidence_values(text)[0]
    print(f"{text}: {best.language.name.title()} {best.value:.2f}")
    return best.language, round(best.value, 2)


japanese = LanguageDetectorBuilder.from_languages(Language.ENGLISH, Language.JAPANESE).build()
assert seen(japanese, "Wi-Fi ルーターの設定") == (Language.ENGLISH, 1.0)
assert seen(japanese, "ルーターの設定") == (Language.JAPANESE, 1.0)
assert seen(japanese, "USB-C ケーブル") == (Language.ENGLISH, 1.0)
assert seen(japanese, "USB ケーブル") == (Language.JAPANESE, 1.0)
thai = LanguageDetectorBuilder.from_languages(Language.ENGLISH, Language.THAI).build()
assert seen(thai, "iPhone เคส") == (Language.ENGLISH, 1.0)
assert seen(thai, "เคส") == (Language.THAI, 1.0)
every = LanguageDetectorBuilder.from_all_languages().build()
assert seen(every, "Wi-Fi ルーターの設定")[0] == Language.TSONGA
PY

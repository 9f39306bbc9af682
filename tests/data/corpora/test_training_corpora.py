"""Course repositories and SQuAD with its translations, as they are published."""

from __future__ import annotations

from pathlib import Path

import pytest
from published_corpora import squad, write

from haystack_crossalign.data.corpora.courses import read_course_repositories
from haystack_crossalign.data.corpora.squad import read_translated_squad
from haystack_crossalign.errors import InputError

LONG = "Ice that is thinner than a hand is wide carries nobody, and near the mouth of a river it is thinner still. " * 2
LESSON = f"""# Walking on ice

[![Watch the video](images/ice.png)](https://example.org)

<!-- a note -->
## When it is **safe**

{LONG}See [the table](https://example.org/table).

| thickness | carries |
|---|---|
| 5 cm | nobody |

```python
# not a heading
print("not text")
```

## Short

Too short.
"""
TRANSLATED = """# 在冰上行走

## 何时**安全**

薄于一掌的冰承载不了任何人。参见[表格](https://example.org/table)。

## 短

太短。

---

**免责声明**：本文档使用 [Co-op Translator](https://github.com/Azure/co-op-translator) 翻译。
"""


@pytest.fixture
def courses(tmp_path: Path) -> Path:
    repository = tmp_path / "courses" / "Ice-101"
    write(repository / "lessons" / "1 walking.md", LESSON)
    write(repository / "translations" / "zh" / "lessons" / "1 walking.md", TRANSLATED)
    write(repository / "translations" / "es" / "lessons" / "1 walking.md", "# Otro\n\nSin las secciones.\n")
    write(repository / "translations" / "br" / "lessons" / "1 walking.md", TRANSLATED)
    write(repository / "CODE_OF_CONDUCT.md", LESSON)
    return tmp_path / "courses"


def test_sections_of_a_lesson_are_paired_by_their_headings(courses: Path) -> None:
    (section,), _ = read_course_repositories(courses, ["zh", "es"])
    assert section.id == "Ice-101/lessons/1 walking.md#1"
    assert section.headings == {"en": "When it is safe", "zh": "何时安全"}
    assert section.passages == {
        "en": f"{' '.join(LONG.split())} See the table.",
        "zh": "薄于一掌的冰承载不了任何人。参见表格。",
    }


def test_the_disclaimer_of_the_translator_is_no_text_of_the_lesson(courses: Path) -> None:
    long = write(courses / "Ice-101" / "lessons" / "1 walking.md", LESSON.replace("Too short.", LONG))
    sections, _ = read_course_repositories(courses, ["zh"])
    assert long.is_file()
    assert sections[1].passages["zh"] == "太短。"


def test_folders_with_codes_of_their_own_are_read_as_what_they_are(courses: Path) -> None:
    (section,), _ = read_course_repositories(courses, ["pt"])
    assert set(section.passages) == {"en", "pt"}
    with pytest.raises(InputError, match=r"no translated lesson.*translations/<language>"):
        read_course_repositories(courses, ["th"])


@pytest.fixture
def squad_folder(tmp_path: Path) -> Path:
    english = {"Lakes": {"Ice covers the lake.": {"a": "What covers it?", "b": "What is covered?"}}}
    spanish = {"Lagos": {"El hielo cubre el lago.": {"a": "¿Qué lo cubre?"}}}
    write(tmp_path / "dev-v1.1.json", squad(english))
    write(tmp_path / "mlqa-translate-train" / "es_squad-translate-train-dev-v1.1.json", squad(spanish))
    return tmp_path


def test_questions_of_squad_come_with_the_translations_that_they_have(squad_folder: Path) -> None:
    (first, second), source = read_translated_squad(squad_folder, ["es", "th"])
    assert (first.title, first.query, first.passage) == ("Lakes", "What covers it?", "Ice covers the lake.")
    assert (first.passages, first.queries) == ({"es": "El hielo cubre el lago."}, {"es": "¿Qué lo cubre?"})
    assert (second.id, second.passages, second.queries) == ("b", {}, {})
    assert source.name == "SQuAD 1.1, translated"


def test_a_missing_file_of_squad_is_named(squad_folder: Path) -> None:
    (squad_folder / "dev-v1.1.json").unlink()
    with pytest.raises(InputError, match=r"dev-v1\.1\.json: no such file"):
        read_translated_squad(squad_folder, ["es"])

"""SQuAD 1.1 with machine translations of its passages and questions, as published with MLQA.

Sources: Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text" (EMNLP 2016),
``dev-v1.1.json``; Lewis et al. (ACL 2020), ``mlqa-translate-train/<language>_squad-translate-train-dev-v1.1.json``,
with the ids of SQuAD.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from haystack_crossalign.data.corpora.kinds.sentences import choose_files
from haystack_crossalign.data.corpora.xquad import squad_rows
from haystack_crossalign.files.reading import Source, combined_source, read_json_object
from haystack_crossalign.files.records import Record

_ENGLISH, _ENDING = "dev-v1.1.json", "_squad-translate-train-dev-v1.1.json"


@dataclass(frozen=True)
class TranslatedQuestion:
    """A question and its passage, with translations.

    :param id: as in SQuAD.
    :param title: the article.
    :param query: the English question.
    :param passage: the English paragraph.
    :param passages: its translations by normalized tag.
    :param queries: those of the question.
    """

    id: str
    title: str
    query: str
    passage: str
    passages: dict[str, str]
    queries: dict[str, str]


def read_translated_squad(
    folder: Path | str, languages: Sequence[str]
) -> tuple[tuple[TranslatedQuestion, ...], Source]:
    """Read the questions of SQuAD's development set, with their translations into some languages.

    :param folder: a folder with ``dev-v1.1.json`` and the folder ``mlqa-translate-train``.
    :param languages: the languages; those without translations are ignored.
    :raises InputError: for missing or damaged files, or if none of the languages has a file.
    """
    root = Path(folder)
    translations = root / "mlqa-translate-train"
    files = {path.name.removesuffix(_ENDING): path for path in sorted(translations.glob(f"*{_ENDING}"))}
    known = choose_files(translations, files, None, example=f"zh{_ENDING}")
    content, source = read_json_object(root / _ENGLISH)
    sources, articles = [source], {}
    for tag in languages:
        if tag in known:
            translated, translated_source = read_json_object(known[tag])
            sources.append(translated_source)
            articles[tag] = {
                name: (question, passage) for name, question, passage in squad_rows(Record(translated, known[tag]))
            }
    questions = []
    for article in Record(content, root / _ENGLISH).objects("data"):
        title = article.text("title")
        for paragraph in article.objects("paragraphs"):
            passage = paragraph.text("context")
            for question in paragraph.objects("qas"):
                name = question.identifier("id")
                versions = {tag: of_language[name] for tag, of_language in articles.items() if name in of_language}
                questions.append(
                    TranslatedQuestion(
                        name,
                        title,
                        question.text("question"),
                        passage,
                        {tag: text for tag, (_, text) in versions.items()},
                        {tag: text for tag, (text, _) in versions.items()},
                    )
                )
    return tuple(questions), combined_source("SQuAD 1.1, translated", sources)

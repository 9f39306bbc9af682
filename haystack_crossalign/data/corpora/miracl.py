"""MIRACL: questions by native speakers in 18 languages, judged on passages of the Wikipedia in the same language.

Source: Zhang et al., "MIRACL: A Multilingual Retrieval Dataset Covering 18 Diverse Languages" (TACL 2023). For each
language ``miracl-v1.0-<language>/topics/topics.miracl-v1.0-<language>-dev.tsv``, ``…/qrels/qrels.…-dev.tsv`` and
``miracl-corpus-v1.0-<language>/docs-*.jsonl.gz``. It is not parallel: a query has relevant passages only in its own
language, so a mixed pool shows how far passages in other languages push these down.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.corpora.kinds.ranked import RankedLanguage, ranked_collection
from haystack_crossalign.data.corpora.kinds.sentences import choose_files
from haystack_crossalign.data.formats.jsonl import records
from haystack_crossalign.data.formats.trec import read_qrels, read_query_tsv
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source, TextFile

_QUERIES, _PASSAGES = "miracl-v1.0-", "miracl-corpus-v1.0-"


def read_miracl(
    data: str | Path,
    languages: Sequence[str] | None = None,
    *,
    query_languages: Sequence[str] | None = None,
    pool: str = "passages",
    split: str = "dev",
) -> JudgedCollection:
    """Read languages of MIRACL as one judged collection. Ids of passages and queries begin with their language.

    :param data: a folder with both data sets, or the one with the queries if ``miracl-corpus`` is next to it.
    :param languages: languages of the pool; None for all.
    :param query_languages: languages of the queries, among those of the pool; None for all.
    :param pool: "passages" for all, or "judged" for those with a judgment.
    :param split: ``dev`` or ``train``.
    :raises InputError: for data that cannot be read and languages without data.
    """
    root = Path(data)
    folders = {path.name.removeprefix(_QUERIES): path for path in root.glob(f"{_QUERIES}*") if path.is_dir()}
    chosen = choose_files(root, folders, languages, example=f"{_QUERIES}ar/")
    parts = {}
    for tag, folder in chosen.items():
        code = folder.name.removeprefix(_QUERIES)
        name = f"{_QUERIES}{code}-{split}.tsv"
        place = next(
            (folder for folder in (root, root.parent / "miracl-corpus") if (folder / f"{_PASSAGES}{code}").is_dir()),
            root,
        )
        parts[tag] = RankedLanguage(
            queries=read_query_tsv(folder / "topics" / f"topics.{name}", default_language=tag),
            qrels=read_qrels(folder / "qrels" / f"qrels.{name}"),
            passages=_Passages(place / f"{_PASSAGES}{code}"),
        )
    return ranked_collection("miracl", parts, query_languages=query_languages, pool=pool, parallel=False)


class _Passages:
    """The passages of one language: id, and title and text.

    :param folder: the folder with its files.
    """

    def __init__(self, folder: Path) -> None:
        self.sources: list[Source] = []
        self._folder = folder

    def __iter__(self) -> Iterator[tuple[str, str]]:
        files = sorted([*self._folder.glob("docs-*.jsonl.gz"), *self._folder.glob("docs-*.jsonl")])
        if not files:
            raise InputError("no files of passages", source=self._folder, allowed="docs-0.jsonl.gz, …")
        for path in files:
            file = TextFile(path)
            for record in records(file):
                yield record.identifier("docid"), record.document_text("title").text
            self.sources.append(file.source)

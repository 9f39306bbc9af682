"""mMARCO: the 8.8 million passages and the queries of MS MARCO, machine-translated into 13 languages.

Source: Bonifacio et al., "mMARCO: A Multilingual Version of the MS MARCO Passage Ranking Dataset" (2021). For each
language ``data/google/collections/<language>_collection.tsv`` and
``data/google/queries/dev/<language>_queries.dev.small.tsv`` (id and text), with English names of languages; the
judgments are those of MS MARCO, ``data/qrels.dev.small.tsv``. Ids are the same in all languages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.corpora.kinds.ranked import RankedLanguage, ranked_collection
from haystack_crossalign.data.corpora.kinds.sentences import choose_files
from haystack_crossalign.data.formats.trec import read_qrels, read_query_tsv
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source, TextFile

_PASSAGES, _QUERIES = "_collection.tsv", "_queries.dev.small.tsv"


def read_mmarco(
    data: str | Path,
    languages: Sequence[str] | None = None,
    *,
    query_languages: Sequence[str] | None = None,
    pool: str = "passages",
) -> JudgedCollection:
    """Read languages of mMARCO's small development set as one judged collection.

    :param data: the data set, or its folder ``data``.
    :param languages: languages of the pool; None for all.
    :param query_languages: languages of the queries, among those of the pool; None for all.
    :param pool: "passages" for all, or "judged" for those with a judgment.
    :raises InputError: for data that cannot be read and languages without data.
    """
    root = Path(data) / "data" if (Path(data) / "data").is_dir() else Path(data)
    folder = root / "google" / "collections"
    files = {path.name.removesuffix(_PASSAGES): path for path in folder.glob(f"*{_PASSAGES}")}
    chosen = choose_files(folder, files, languages, example=f"chinese{_PASSAGES}")
    qrels = read_qrels(root / "qrels.dev.small.tsv")
    parts = {
        tag: RankedLanguage(
            queries=read_query_tsv(
                root / "google" / "queries" / "dev" / f"{path.name.removesuffix(_PASSAGES)}{_QUERIES}",
                default_language=tag,
            ),
            qrels=qrels,
            passages=_Passages(path),
        )
        for tag, path in chosen.items()
    }
    return ranked_collection("mmarco", parts, query_languages=query_languages, pool=pool, parallel=True)


class _Passages:
    """The passages of one language: id and text.

    :param path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.sources: list[Source] = []
        self._path = path

    def __iter__(self) -> Iterator[tuple[str, str]]:
        file = TextFile(self._path)
        for line, text in file:
            name, tab, passage = text.partition("\t")
            if not tab or not name.strip():
                raise InputError("wrong columns", source=self._path, line=line, seen=text, allowed="id, tab, text")
            if passage.strip():
                yield name.strip(), passage.strip()
        self.sources.append(file.source)

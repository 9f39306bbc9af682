"""The named corpora: where each is published, its license, and where its files are expected.

A recipe or a command names a corpus; the environment variable ``CROSSALIGN_DATA`` or an option names the folder of all
corpora. Each corpus is in it as published: unpacked, with its original file names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from haystack_crossalign.errors import InputError

DATA_VARIABLE = "CROSSALIGN_DATA"
"""Environment variable that names the folder of the corpora."""


@dataclass(frozen=True)
class Corpus:
    """A published corpus.

    :param title: its name in the literature.
    :param address: URL of its publication.
    :param license: its license, and further conditions of its publishers.
    :param places: names in the folder of the corpora, of which the first that exists is read; messages show the first.
        A name that ends with ``.jsonl`` is a JSON Lines file that replaces the published files.
    :param holds: what the place contains, for messages.
    :param training: whether triplets can be built from it; False if it is published for evaluation only.
    :param judged: whether it can be read as a judged collection.
    """

    title: str
    address: str
    license: str
    places: tuple[str, ...]
    holds: str
    training: bool = False
    judged: bool = True


CORPORA: Mapping[str, Corpus] = {
    "ntrex": Corpus(
        "NTREX-128",
        "https://github.com/MicrosoftTranslator/NTREX",
        "CC BY-SA 4.0",
        ("NTREX", "ntrex.jsonl"),
        "the repository: NTREX-128/newstest2019-ref.<code>.txt and DOCUMENT_IDS.tsv",
        training=True,
    ),
    "tico19": Corpus(
        "TICO-19",
        "https://tico-19.github.io/data/tico19-testset.zip",
        "CC0",
        ("tico19-testset", "tico19.jsonl"),
        "the unpacked archive: dev/dev.en-<code>.tsv and test/test.en-<code>.tsv",
        training=True,
    ),
    "course_sections": Corpus(
        "Microsoft course sections",
        "https://github.com/microsoft (Security-101, AZD-for-beginners, edgeai-for-beginners)",
        "CC0 (Security-101) and MIT",
        ("courses", "course_sections.jsonl"),
        "a clone of each repository: Markdown, with translations/<language>/",
        training=True,
        judged=False,
    ),
    "squad": Corpus(
        "SQuAD 1.1 with machine translations",
        "https://rajpurkar.github.io/SQuAD-explorer and https://dl.fbaipublicfiles.com/MLQA/mlqa-translate-train.tar.gz",
        "CC BY-SA 4.0",
        ("squad", "squad.jsonl"),
        "dev-v1.1.json and the unpacked folder mlqa-translate-train",
        training=True,
        judged=False,
    ),
    "flores": Corpus(
        "FLORES+",
        "https://huggingface.co/datasets/openlanguagedata/flores_plus",
        "CC BY-SA 4.0, for evaluation only",
        ("flores_plus", "flores200_dataset"),
        "dev/ and devtest/ with <code>.jsonl or .parquet, or those of FLORES-200",
    ),
    "xquad": Corpus(
        "XQuAD",
        "https://github.com/google-deepmind/xquad",
        "CC BY-SA 4.0",
        ("xquad",),
        "xquad.<language>.json",
    ),
    "mlqa": Corpus(
        "MLQA",
        "https://dl.fbaipublicfiles.com/MLQA/MLQA_V1.zip",
        "CC BY-SA 3.0",
        ("MLQA_V1",),
        "dev/ and test/ with test-context-<language>-question-<language>.json",
    ),
    "belebele": Corpus(
        "Belebele",
        "https://dl.fbaipublicfiles.com/belebele/Belebele.zip",
        "CC BY-SA 4.0",
        ("Belebele", "belebele"),
        "<code>.jsonl",
    ),
    "miracl": Corpus(
        "MIRACL",
        "https://huggingface.co/datasets/miracl/miracl and miracl/miracl-corpus",
        "Apache-2.0",
        ("miracl",),
        "miracl-v1.0-<language>/ and, here or in miracl-corpus beside it, miracl-corpus-v1.0-<language>/",
    ),
    "mmarco": Corpus(
        "mMARCO",
        "https://huggingface.co/datasets/unicamp-dl/mmarco",
        "Apache-2.0; MS MARCO is for non-commercial research",
        ("mmarco",),
        "data/google/collections/, data/google/queries/dev/ and data/qrels.dev.small.tsv",
    ),
}
"""The corpora by the names that recipes and commands use."""


def find_corpus(name: str, folder: Path | str | None = None) -> Path:
    """Find a corpus: a folder as published, or a JSON Lines file.

    :param name: a key of `CORPORA`.
    :param folder: the folder of the corpora; None for ``CROSSALIGN_DATA``.
    :raises InputError: for an unknown name, or if the corpus is missing; the message says what to get, under which
        license, and where to put it.
    """
    corpus = named_corpus(name)
    root = folder if folder is not None else os.environ.get(DATA_VARIABLE) or None
    if root is not None:
        for place in corpus.places:
            path = Path(root) / place
            if path.exists():
                return path
    target = Path("DIR" if root is None else root) / corpus.places[0]
    raise InputError(
        f"{corpus.title} is missing" if root is not None else f"no folder of corpora is named, for {corpus.title}",
        source=target if root is not None else DATA_VARIABLE,
        allowed=f"get it from {corpus.address} ({corpus.license}), put it at {target} ({corpus.holds})"
        + (f", and set {DATA_VARIABLE}=DIR" if root is None else ""),
    )


def data_folder(folder: Path | str | None = None) -> Path | None:
    """The folder of the corpora: the given one, else that of ``CROSSALIGN_DATA``, else None."""
    chosen = folder if folder is not None else os.environ.get(DATA_VARIABLE) or None
    return None if chosen is None else Path(chosen)


def corpus_folder(name: str, data: Path | str | None = None) -> Path:
    """Find a corpus in a folder of corpora, or return that folder if it is the corpus itself.

    :param name: a key of `CORPORA`.
    :param data: the folder of the corpora, or of this corpus; None for ``CROSSALIGN_DATA``.
    :raises InputError: see `find_corpus`; not for a given folder that contains none of the corpus's places.
    """
    if data is None:
        return find_corpus(name)
    return next((path for place in named_corpus(name).places if (path := Path(data) / place).exists()), Path(data))


def named_corpus(name: str) -> Corpus:
    """The corpus with a name.

    :raises InputError: for an unknown name.
    """
    if name not in CORPORA:
        raise InputError("unknown corpus", field="corpus", seen=name, allowed=", ".join(CORPORA))
    return CORPORA[name]

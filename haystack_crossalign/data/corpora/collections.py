"""The corpora that can be read as judged collections, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.corpora.belebele import read_belebele
from haystack_crossalign.data.corpora.flores import read_flores_sentences
from haystack_crossalign.data.corpora.kinds.sentences import SentenceCorpus, sentence_collection
from haystack_crossalign.data.corpora.miracl import read_miracl
from haystack_crossalign.data.corpora.mlqa import read_mlqa
from haystack_crossalign.data.corpora.mmarco import read_mmarco
from haystack_crossalign.data.corpora.ntrex import read_ntrex_sentences
from haystack_crossalign.data.corpora.tico19 import read_tico19_sentences
from haystack_crossalign.data.corpora.xquad import read_xquad
from haystack_crossalign.errors import InputError

_RANKED: Mapping[str, Callable[..., JudgedCollection]] = {
    "xquad": read_xquad,
    "belebele": read_belebele,
    "mlqa": read_mlqa,
    "miracl": read_miracl,
    "mmarco": read_mmarco,
}
_SENTENCES: Mapping[str, Callable[..., SentenceCorpus]] = {
    "flores": read_flores_sentences,
    "ntrex": read_ntrex_sentences,
    "tico19": read_tico19_sentences,
}
COLLECTIONS = (*_RANKED, *_SENTENCES)
"""Names of the corpora."""


def read_corpus(name: str, place: Path | str, languages: Sequence[str], *, pool: str = "passages") -> JudgedCollection:
    """Read a corpus in its published layout as a judged collection.

    :param name: one of `COLLECTIONS`.
    :param place: its folder, or ``hf:`` and a name on the hub for XQuAD and Belebele.
    :param languages: languages of the pool and of the queries.
    :param pool: "passages"; "questions" for XQuAD, Belebele and MLQA; "judged" for MIRACL and mMARCO.
    :raises InputError: for data that cannot be read, a missing language, and an unknown name or pool.
    """
    if name in _RANKED:
        return _RANKED[name](place, languages, pool=pool)
    if name not in _SENTENCES:
        raise InputError("unknown data set", source="benchmark", seen=name, allowed=", ".join(COLLECTIONS))
    if pool != "passages":
        raise InputError("unknown pool", field="pool", seen=pool, allowed="passages")
    return sentence_collection(_SENTENCES[name](place, languages), languages)

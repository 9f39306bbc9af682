"""Audits rank by what the model says: against `SentenceTransformer.similarity` of models of every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from columns import columns
from jsonschema import Draft202012Validator
from sentence_transformers import SentenceTransformer
from tiny_models import WORDS, write_tiny_model

import haystack_crossalign as ca
from haystack_crossalign.audit.compare import compare_results
from haystack_crossalign.audit.pools import top_documents
from haystack_crossalign.audit.result import audit_schema
from haystack_crossalign.audit.run import embed_collection
from haystack_crossalign.audit.scenarios import Scenario
from haystack_crossalign.audit.similarity import RankedBy, RankedByIndex, of_index, settle_similarity
from haystack_crossalign.data.collection import Documents, JudgedCollection, Queries
from haystack_crossalign.errors import InputError
from haystack_crossalign.models.encoder import Encoder
from haystack_crossalign.report.content.provenance import similarity_note

SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")


def _collection() -> JudgedCollection:
    """Texts of one to twelve words: means over so different numbers of words have different lengths."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, rng.integers(1, 13))) for _ in range(46)]
    tags = ("en", "zh")
    return JudgedCollection(
        name="words",
        documents=Documents(
            ids=tuple(f"d{row}" for row in range(40)),
            languages=tuple(tags[row % 2] for row in range(40)),
            groups=tuple(str(row // 2) for row in range(40)),
            texts=tuple(texts[:40]),
        ),
        queries=Queries(ids=tuple(f"q{row}" for row in range(6)), languages=("en",) * 6, texts=tuple(texts[40:])),
        relevant=tuple((2 * row, 2 * row + 1) for row in range(6)),
    )


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("similarity", [None, *SIMILARITIES])
def test_an_audit_ranks_as_the_model_itself_does(similarity: str | None, normalize: bool, tmp_path: Path) -> None:
    folder = str(write_tiny_model(tmp_path, normalize=normalize, similarity=similarity))
    collection, name = _collection(), similarity or "cosine"
    result = ca.audit_collection(collection, Encoder(folder, device="cpu", precision="fp32"), samples=0)
    assert result.provenance["similarity"] == {"name": name, "from": "model"}
    Draft202012Validator(audit_schema()).validate(result.to_dict())

    model = SentenceTransformer(folder, device="cpu")
    embedded = [model.encode(list(part.texts)) for part in (collection.queries, collection.documents)]
    scores = model.similarity(*embedded).double().numpy()
    for query, versions in enumerate(collection.relevant):
        ranks = result.queries["ranks"][query]
        for version, rank in zip(versions, ranks, strict=True):
            others = np.delete(scores[query], version)
            # float32 sums of the model may differ in the last digits
            assert 1 + (others > scores[query, version] + 1e-5).sum() <= rank
            assert rank <= 1 + (others > scores[query, version] - 1e-5).sum()
    encoder = Encoder(folder, device="cpu", precision="fp32")
    ids, tops = top_documents(
        embed_collection(collection, encoder), Scenario("multi", ("en", "zh"), "en"), 40, similarity=encoder.similarity
    )
    for query, top in zip(ids, tops, strict=True):
        places = [collection.documents.ids.index(document) for document, _ in top]
        row = collection.queries.ids.index(query)
        assert [score for _, score in top] == pytest.approx(scores[row, places], abs=1e-5)


def test_lengths_tell_the_similarities_apart(tmp_path: Path) -> None:
    encoder = Encoder(str(write_tiny_model(tmp_path, normalize=False)), device="cpu", precision="fp32")
    ranks = {
        name: ca.audit_collection(_collection(), encoder, similarity=name, samples=0).queries["ranks"]
        for name in SIMILARITIES
    }
    assert len({str(value) for value in ranks.values()}) == 4


def test_vectors_of_files_rank_by_cosine_unless_the_user_says_otherwise() -> None:
    collection = _collection()
    rng = np.random.default_rng(1)
    directions = rng.standard_normal((46, 8)).astype(np.float32)
    lengths = np.where(np.arange(40) % 2, 1, 3)[:, None].astype(np.float32)  # English ones three times as long

    def audited(documents: np.ndarray, similarity: str | None = None) -> ca.AuditResult:
        given = JudgedCollection(
            name="words",
            documents=Documents(**{**columns(collection.documents), "vectors": documents}),
            queries=Queries(**{**columns(collection.queries), "vectors": directions[40:]}),
            relevant=collection.relevant,
        )
        return ca.audit_collection(given, similarity=similarity, samples=100)

    unit = directions[:40] / np.linalg.norm(directions[:40], axis=1, keepdims=True)
    plain, longer = audited(unit), audited(unit * lengths)
    assert plain.provenance["similarity"] == {"name": "cosine", "from": "default"}
    assert longer.queries["ranks"] == plain.queries["ranks"]
    dot = audited(unit * lengths, "dot")
    assert dot.provenance["similarity"] == {"name": "dot", "from": "option"}
    scores = directions[40:].astype(np.float64) @ (unit * lengths).astype(np.float64).T
    for query, versions in enumerate(collection.relevant):
        expected = [int((scores[query] > scores[query, version]).sum()) + 1 for version in versions]
        assert dot.queries["ranks"][query] == expected
    assert dot.queries["ranks"] != plain.queries["ranks"]
    note = "The two results are ranked by different similarities: cosine similarity before, dot product after."
    assert note in compare_results(plain, dot, samples=100, permutations=100).notes
    assert note not in compare_results(plain, longer, samples=100, permutations=100).notes


@pytest.mark.parametrize(
    ("model", "chosen", "expected", "sentence"),
    [
        (None, None, RankedBy(), "the default for vectors that come without a model; --similarity names another."),
        ({"similarity": "dot"}, None, RankedBy("dot", "model"), "Ranked by dot product, as the model says."),
        ({"similarity": "dot", "similarity_from": "store"}, None, RankedBy("dot", "store"), "document store does."),
        ({"similarity": "dot"}, "dot", RankedBy("dot", "option"), "Ranked by dot product, as --similarity says."),
        (
            {"similarity": "dot"},
            "manhattan",
            RankedBy("manhattan", "option", "dot"),
            "Ranked by Manhattan distance, as --similarity says; the model itself says dot product.",
        ),
        ({"name": "a server's"}, None, RankedBy(), "Ranked by cosine similarity, the default"),
    ],
)
def test_who_says_what_is_ranked_by(model, chosen, expected, sentence) -> None:
    ranked_by = settle_similarity(model, chosen)
    assert ranked_by == expected
    assert sentence in similarity_note({"similarity": ranked_by.to_dict(), "model": model})


def test_an_index_decides_by_its_field_and_says_what_the_model_would() -> None:
    assert of_index("euclidean", None) == RankedByIndex("euclidean")
    assert of_index("cosine", {"similarity": "cosine"}) == RankedByIndex("cosine")
    other = of_index("cosine", {"similarity": "dot"})
    assert other == RankedByIndex("cosine", "dot")
    text = "Ranked by cosine similarity, as the vector field of the index does"
    assert (
        similarity_note({"similarity": other.to_dict(), "model": {}}) == f"{text}; the model itself says dot product."
    )
    # Of unit length both give one order: nothing to remark.
    assert similarity_note({"similarity": other.to_dict(), "model": {"normalized": True}}) == f"{text}."
    bits = of_index("hamming", {"similarity": "dot"})
    assert "Ranked by Hamming distance" in similarity_note(
        {"similarity": bits.to_dict(), "model": {"normalized": True}}
    )
    assert similarity_note({}) == ""


def test_a_similarity_that_does_not_exist_is_named() -> None:
    with pytest.raises(InputError, match="unknown similarity; seen: 'l2'; allowed: cosine, dot, euclidean, manhattan"):
        ca.audit_collection(_collection(), similarity="l2")

"""Probes made from a real index: parallel over languages, fair, repeatable, and never from texts that tell nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.exact.versions import Version
from haystack_crossalign.opensearch.index import groups
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.groups import parallel_groups
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.live.known_items import known_item_probes

ENGLISH = "harbour castle museum forest library station market bridge garden tower school river"
SPANISH = "puerto castillo museo bosque biblioteca estación mercado puente jardín torre escuela río"
CHINESE = "一二三四五六七八九甲乙丙"
COUNT = len(CHINESE)


def _documents() -> dict[str, dict[str, Any]]:
    """Twelve groups in en, es and zh and what must not become a probe; content names its group's number."""
    rng = np.random.default_rng(9)
    documents: dict[str, dict[str, Any]] = {}

    def add(identifier: str, group: str | None, language: str | None, content: str, **more: Any) -> None:
        document: dict[str, Any] = {"embedding": rng.normal(size=4).tolist(), "content": content, **more}
        document |= {} if group is None else {"group": group}
        documents[identifier] = document | ({} if language is None else {"language": language})

    for n, (subject, sujeto) in enumerate(zip(ENGLISH.split(), SPANISH.split(), strict=True)):
        english = f"The {subject} of the old town is visited by many people. It is open."
        # The first chunk by its number, not by its id, is the start of the text.
        add(f"en-{n}-a", f"g{n}", "en", "The second part begins in the middle of something. End.", split_id=1)
        add(f"en-{n}-b", f"g{n}", "en", english, split_id=0, title=f"Visiting the {subject}")
        add(f"es-{n}", f"g{n}", "es", f"El {sujeto} de la ciudad vieja es visitado por mucha gente. Está abierto.")
        add(f"zh-{n}", f"g{n}", "zh", f"这座城市里的第{CHINESE[n]}个地方每天都有很多人参观。它开放。")
    add("only-en-1", "alone", "en", "A text that has no translation in this index. End.")
    add("only-en-2", "alone", "en", "Its second chunk has none either, as one would expect. End.")
    add("no-group", None, "en", "A text without any group stands here by itself. End.")
    for language in ("en", "es"):
        add(f"short-{language}", "short", language, "42.")
        add(f"same-{language}", "same", language, "Kubernetes Prometheus Grafana Terraform Ansible.")
    for group in ("twin-1", "twin-2"):
        add(f"{group}-en", group, "en", "This sentence opens two different articles of the index. End.")
        add(f"{group}-es", group, "es", f"Esta frase abre solamente el artículo número {group[-1]} del índice. Fin.")
    add("und-1", "unknown", None, "The weather in the mountains was cold and windy all week. End.")
    add("und-2", "unknown", None, "El tiempo en las montañas fue frío y ventoso toda la semana. Fin.")
    return documents


@pytest.fixture(scope="module")
def index(opensearch: Any, indexing: Any) -> str:
    mapping = indexing.mapping(4)
    mapping["properties"] |= {"title": {"type": "text"}, "stored_only": {"type": "text", "index": False}}
    documents = _documents()
    for identifier, document in documents.items():
        document["stored_only"] = document["content"]
        if "title" not in document and identifier.startswith("zh"):
            document["title"] = "短"
    indexing.create(opensearch, "judge-probes", documents, mapping, shards=2)
    return "judge-probes"


@pytest.fixture
def view(opensearch: Any, index: str) -> Any:
    client = ReadOnlyClient(opensearch.url)
    fields = read_fields(client, index, vector="embedding", language="language", group="group")
    with client.point_in_time(index) as target:
        yield IndexView(client, target, fields)
    client.close()


def test_each_version_asks_once_for_all_versions_of_its_group(view: IndexView) -> None:
    queries = known_item_probes(view, count=100)
    assert queries.kind == "known-item"
    position = queries.ids.index("g3:en")
    assert queries.texts[position] == "The forest of the old town is visited by many people."
    assert queries.relevant[position] == ("en-3-a", "en-3-b", "es-3", "zh-3")
    assert queries.versions[position] == (Version("g3", "en"), Version("g3", "es"), Version("g3", "zh"))
    assert queries.chunked
    for n in range(COUNT):
        own = [number for number, group in enumerate(queries.groups) if group == f"g{n}"]
        assert [queries.languages[number] for number in own] == ["en", "es", "zh"]
        assert len({queries.relevant[number] for number in own}) == 1
    assert queries.texts[queries.ids.index("g0:zh")] == "这座城市里的第一个地方每天都有很多人参观。"
    assert (queries.parallel() >= 0).all()


def test_texts_that_tell_nothing_are_left_out_and_counted(view: IndexView) -> None:
    queries = known_item_probes(view, count=100)
    others = {one for one in queries.ids if not one.startswith("g")}
    assert others == {"twin-1:es", "twin-2:es", "unknown:en", "unknown:es"}
    notes = " ".join(queries.notes)
    assert "2 too short to be a query" in notes
    assert "2 the same in two languages" in notes
    assert "2 also the text of another group" in notes
    assert f"{len(queries)} queries ({COUNT + 1} en, {COUNT + 3} es, {COUNT} zh) from {COUNT + 3} parallel" in notes
    assert "100 groups were asked for" in notes


def test_a_title_is_preferred_unless_it_is_too_short(view: IndexView) -> None:
    queries = known_item_probes(view, title_field="title", count=100)
    texts = dict(zip(queries.ids, queries.texts, strict=True))
    assert texts["g0:en"] == "Visiting the harbour"
    assert texts["g0:es"] == "El puerto de la ciudad vieja es visitado por mucha gente."
    assert texts["g0:zh"] == "这座城市里的第一个地方每天都有很多人参观。"


def test_the_seed_decides_which_groups_are_asked_for(view: IndexView) -> None:
    first, again, other = (known_item_probes(view, count=5, seed=seed) for seed in (1, 1, 2))
    assert (first.ids, first.texts) == (again.ids, again.texts)
    assert len(set(first.groups)) == len(set(other.groups)) == 5
    assert first.groups != other.groups
    assert list(first.ids) == sorted(first.ids)


def test_only_the_languages_wanted_ask_but_all_versions_stay_relevant(view: IndexView) -> None:
    queries = known_item_probes(view, count=4, languages=["zh"])
    assert set(queries.languages) == {"zh"}
    assert all(len(one) == 3 for one in queries.versions)


def test_a_field_that_is_stored_but_not_indexed_can_be_asked_with(view: IndexView) -> None:
    queries = known_item_probes(view, content_field="stored_only", count=3)
    assert len(set(queries.groups)) == 3


def test_every_parallel_group_comes_once_however_many_parts_there_are(
    view: IndexView, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {f"g{n}" for n in range(COUNT)} | {"short", "same", "twin-1", "twin-2", "unknown"}
    assert Counter(parallel_groups(view, seed=0)) == Counter(expected)
    monkeypatch.setattr(groups, "GROUPS_PER_PART", 3)
    monkeypatch.setattr(groups, "_SIZES", (1, 2, 50))
    assert Counter(parallel_groups(view, seed=0)) == Counter(expected)
    monkeypatch.setattr(groups, "MOST_PARTS", 1)
    assert 0 < len(list(parallel_groups(view, seed=0))) < len(expected)


def test_large_groups_are_not_drawn_more_often(view: IndexView) -> None:
    # g0..g11 have four documents each and 'unknown', 'short', 'same' and the twins two: all come first equally often.
    firsts = Counter(next(parallel_groups(view, seed=seed)) for seed in range(170))
    assert max(firsts.values()) < 30
    assert sum(count for group, count in firsts.items() if not group.startswith("g")) > 25


def test_without_a_group_field_it_says_what_can_be_done(view: IndexView, index: str) -> None:
    fields = read_fields(view.client, index, vector="embedding", language="language")
    with pytest.raises(InputError, match=r"nothing says which documents are relevant.*--group-field"):
        known_item_probes(IndexView(view.client, index, fields))


def test_where_no_group_gives_a_query_the_reason_is_named(view: IndexView) -> None:
    short = IndexView(view.client, view.target, view.fields, user_filter={"terms": {"group": ["short", "alone"]}})
    with pytest.raises(InputError, match=r"texts left out: 2 too short.*--queries"):
        known_item_probes(short)


def test_an_index_without_a_language_field_is_told_by_its_texts(view: IndexView, index: str) -> None:
    fields = read_fields(view.client, index, vector="embedding", group="group")
    queries = known_item_probes(IndexView(view.client, index, fields), count=100)
    assert {"en", "es", "zh"} == set(queries.languages)
    assert "g3:es" in queries.ids

"""Translation by chat generators that look human translations (NTREX-128) up, with faults put in."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from chat_service import ChatService, serve_chat
from haystack import component
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.utils import Secret

from haystack_crossalign.data.triplets import Triplet
from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.triplets.translation.cache import Answer, TranslationCache, request_key
from haystack_crossalign.triplets.translation.chat_generator import generator_identity, read_generator
from haystack_crossalign.triplets.translation.check import TranslationCheck
from haystack_crossalign.triplets.translation.prompt import Request, estimate, expected_ratio
from haystack_crossalign.triplets.translation.translate import (
    TranslationOptions,
    open_requests,
    requests_of,
    translate_pairs,
)

FAST = TranslationOptions(concurrency=3, backoff=0.0)


@component
class LookupGenerator:
    """A chat generator of Haystack's interface that answers with human translations."""

    def __init__(self, service: ChatService, faults: dict[str, Callable[[], BaseException]] | None = None) -> None:
        self.service = service
        self.errors = faults or {}
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()

    @component.output_types(replies=list[ChatMessage])
    def run(self, messages: list[ChatMessage]) -> dict[str, Any]:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            text = messages[-1].text or ""
            fault = self.service.fault(text)
            if fault in self.errors:
                raise self.errors[fault]()
            if fault == "no reply":
                return {"replies": []}
            answer = self.service.answer(messages[0].text or "", text, fault)
            meta = {"finish_reason": "length" if fault == "cut off" else "stop"}
            return {"replies": [ChatMessage.from_assistant(answer, meta=meta)]}
        finally:
            with self._lock:
                self.at_once -= 1


@pytest.fixture(scope="module")
def lines(shared_data: Path) -> list[dict[str, str]]:
    """Every 40th line of NTREX-128 that is a sentence, nearly 40 in all."""
    with (shared_data / "train" / "ntrex_16lang.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in islice(file, 0, None, 40)]
    return [row for row in rows if len(row["en"]) > 60][:40]


@pytest.fixture
def pairs(lines: list[dict[str, str]]) -> list[Triplet]:
    return [Triplet(f"t{place}", f"g{place}", "en", f"query {place}", row["en"], {}) for place, row in enumerate(lines)]


@pytest.fixture
def cache(tmp_path: Path) -> TranslationCache:
    return TranslationCache(tmp_path / "cache.jsonl")


def test_every_passage_is_asked_once_and_comes_back_in_every_language(
    lines: list[dict[str, str]], pairs: list[Triplet], cache: TranslationCache
) -> None:
    meeting, calls = threading.Barrier(3), Counter[str]()

    def meet(_text: str, _before: int) -> None:
        calls["all"] += 1
        if calls["all"] <= 3:  # the first three wait for each other, which one at a time could not
            meeting.wait(30)

    generator = LookupGenerator(ChatService(lines, meet))
    twice = [*pairs, Triplet("copy", "g0", "en", "another query", pairs[0].passage, {"ar": "kept"})]
    progress: list[tuple[int, int]] = []
    with cache:
        done = translate_pairs(
            twice, ["zh", "ar"], generator, cache, options=FAST, progress=lambda *part: progress.append(part)
        )
    assert [triplet.id for triplet in done.triplets] == [pair.id for pair in twice]
    for triplet, row in zip(done.triplets, lines, strict=False):
        assert triplet.targets == {"zh": row["zh"], "ar": row["ar"]}
    assert done.triplets[-1].targets == {"zh": lines[0]["zh"], "ar": "kept"}
    assert set(generator.service.asked.values()) == {2}  # once in each language
    assert generator.most_at_once == 3
    assert done.counts["asked"] == done.counts["texts"] == 2 * len(lines)
    assert progress[-1] == (2 * len(lines), 2 * len(lines))
    assert not done.rejected
    assert not done.dropped


def test_queries_are_translated_where_asked_for(lines: list[dict[str, str]], cache: TranslationCache) -> None:
    pair = Triplet("t", "g", "en", lines[1]["en"], lines[0]["en"], {})
    with cache:
        options = TranslationOptions(queries=True)
        done = translate_pairs([pair], ["zh"], LookupGenerator(ChatService(lines)), cache, options=options)
    assert done.triplets[0].target_queries == {"zh": lines[1]["zh"]}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("empty", "empty"),
        ("no reply", "empty"),
        ("wrong language", "wrong language"),
        ("untranslated", "wrong language"),
        ("too long", "implausible length"),
        ("cut off", "cut off"),
    ],
)
def test_a_bad_answer_is_asked_for_again_and_dropped_when_it_stays_bad(
    lines: list[dict[str, str]], pairs: list[Triplet], cache: TranslationCache, fault: str, reason: str
) -> None:
    first, second = pairs[0].passage, pairs[1].passage

    def faults(text: str, before: int) -> str | None:
        return fault if text == first or (text == second and before == 0) else None

    generator = LookupGenerator(ChatService(lines, faults))
    with cache:
        done = translate_pairs(pairs[:4], ["es"], generator, cache, options=FAST)
        again = translate_pairs(pairs[:4], ["es"], generator, cache, options=FAST)
    assert [triplet.id for triplet in done.triplets] == ["t1", "t2", "t3"]
    assert done.triplets[0].targets == {"es": lines[1]["es"]}
    assert (done.rejected, done.dropped) == ({reason: 4}, {reason: 1})
    assert done.counts["pairs dropped"] == 1
    assert generator.service.asked == {first: 3, second: 2, pairs[2].passage: 1, pairs[3].passage: 1}
    assert again.triplets == done.triplets
    assert again.counts["asked"] == 0
    assert again.dropped == {reason: 1}


def test_a_repeated_text_is_no_translation_into_a_language_of_the_same_length(lines: list[dict[str, str]]) -> None:
    check = TranslationCheck()
    for tag in ("de", "vi", "sw", "la"):
        request = Request(lines[0]["en"], "en", tag)
        assert check.reason(request, lines[0]["en"]) == "wrong language"
    assert check.reason(Request("OpenSearch 3.4", "en", "de"), "OpenSearch 3.4") is None


def test_faults_of_the_service_are_waited_out(
    lines: list[dict[str, str]], pairs: list[Triplet], cache: TranslationCache
) -> None:
    kinds = {"timeout": TimeoutError, "reset": ConnectionResetError, "broken": lambda: RuntimeError("secret")}
    names = [*kinds]

    def faults(text: str, before: int) -> str | None:
        return names[before] if text == pairs[0].passage and before < 3 else None

    generator = LookupGenerator(ChatService(lines, faults), kinds)
    with cache:
        done = translate_pairs(pairs[:3], ["es"], generator, cache, options=FAST)
    assert len(done.triplets) == 3
    assert done.counts["repeated after faults"] == 3


def test_a_service_that_is_down_ends_the_run_and_the_next_one_goes_on(
    lines: list[dict[str, str]], pairs: list[Triplet], cache: TranslationCache
) -> None:
    down = [False]

    def faults(text: str, _before: int) -> str | None:
        down[0] = down[0] or text == pairs[20].passage
        return "timeout" if down[0] else None

    generator = LookupGenerator(ChatService(lines, faults), {"timeout": lambda: TimeoutError("secret")})
    options = TranslationOptions(concurrency=1, backoff=0.0, retries=1, give_up_after=4)
    with cache, pytest.raises(ExternalError, match=r"did not answer 4 texts in a row.*TimeoutError") as error:
        translate_pairs(pairs, ["vi"], generator, cache, options=options)
    assert "secret" not in str(error.value)
    healthy = LookupGenerator(ChatService(lines))
    with cache:
        done = translate_pairs(pairs, ["vi"], healthy, cache, options=options)
    assert len(done.triplets) == len(pairs)
    assert set(healthy.service.asked) == {pair.passage for pair in pairs[20:]}


def test_one_text_that_never_gets_an_answer_costs_only_itself(
    lines: list[dict[str, str]], pairs: list[Triplet], cache: TranslationCache
) -> None:
    service = ChatService(lines, lambda text, _before: "timeout" if text == pairs[2].passage else None)
    generator = LookupGenerator(service, {"timeout": TimeoutError})
    options = TranslationOptions(concurrency=2, backoff=0.0, retries=2)
    with cache:
        done = translate_pairs(pairs[:6], ["th"], generator, cache, options=options)
        assert [pair.text for pair in open_requests(requests_of(pairs[:6], ["th"]), generator, cache, options)] == [
            pairs[2].passage
        ]
    assert done.dropped == {"no answer": 1}
    assert service.asked[pairs[2].passage] == 3


class ForeignError(Exception):
    """What the client of another service raises."""

    def __init__(self, status_code: int | None) -> None:
        super().__init__("secret")
        self.status_code = status_code


def test_texts_that_are_refused_end_neither_this_run_nor_the_next(
    lines: list[dict[str, str]], pairs: list[Triplet], cache: TranslationCache
) -> None:
    refused = {pair.passage for pair in pairs[3:9]}
    service = ChatService(lines, lambda text, _before: "refused" if text in refused else None)
    generator = LookupGenerator(service, {"refused": lambda: ForeignError(400)})
    options = TranslationOptions(concurrency=1, backoff=0.0, give_up_after=3)
    for times in (1, 2):
        with cache:
            done = translate_pairs(pairs[:10], ["es"], generator, cache, options=options)
        assert done.dropped == {"refused by the service": 6}
        assert len(done.triplets) == 4
        assert [service.asked[pair.passage] for pair in pairs[:10]] == [1, 1, 1, *6 * [times], 1]
    # One that refuses whatever it is asked is not asked for everything.
    with cache, pytest.raises(ExternalError, match=r"3 texts in a row.*ForeignError \(HTTP 400\)") as error:
        translate_pairs(pairs[3:9], ["vi"], generator, cache, options=options)
    assert "secret" not in str(error.value)


def test_clients_of_other_services_have_exceptions_of_their_own(
    lines: list[dict[str, str]], pairs: list[Triplet], cache: TranslationCache
) -> None:
    kinds = {"busy": lambda: ForeignError(529), "lost": lambda: ForeignError(None), "key": lambda: ForeignError(401)}
    service = ChatService(lines, lambda _text, before: ["busy", "lost", None][before])
    with cache:
        done = translate_pairs(pairs[:1], ["es"], LookupGenerator(service, kinds), cache, options=FAST)
    assert (len(done.triplets), done.counts["repeated after faults"]) == (1, 2)
    locked = LookupGenerator(ChatService(lines, lambda _text, _before: "key"), kinds)
    with cache, pytest.raises(ExternalError, match=r"cannot be used: ForeignError \(HTTP 401\)"):
        translate_pairs(pairs[:1], ["vi"], locked, cache, options=FAST)


def test_what_python_raises_in_a_generator_is_told_as_a_fault_of_the_generator(
    lines: list[dict[str, str]], pairs: list[Triplet], cache: TranslationCache
) -> None:
    kinds = {"broken": lambda: ValueError("no such thing\nsecret")}
    broken = LookupGenerator(ChatService(lines, lambda _text, _before: "broken"), kinds)
    with cache, pytest.raises(ExternalError, match=r"LookupGenerator has failed: ValueError: no such thing$"):
        translate_pairs(pairs[:1], ["vi"], broken, cache, options=FAST)


def test_half_of_a_surrogate_pair_reads_the_same_now_and_from_the_cache(tmp_path: Path) -> None:
    pair = Triplet("t", "g", "en", "query", "The harbour of the town is old.", {})
    service = ChatService(
        [{"en": pair.passage, "es": "El puerto de la ciudad\ud800 es antiguo.", "ru": "Старый порт."}]
    )
    for _ in range(2):
        with TranslationCache(tmp_path / "cache.jsonl") as cache:
            done = translate_pairs([pair], ["es"], LookupGenerator(service), cache, options=FAST)
        assert done.triplets[0].targets == {"es": "El puerto de la ciudad? es antiguo."}
    assert done.counts["from the cache"] == 1


def test_over_real_http_with_the_openai_component(
    lines: list[dict[str, str]], pairs: list[Triplet], cache: TranslationCache
) -> None:
    by_text = {pairs[0].passage: "rate limit", pairs[1].passage: "unavailable", pairs[2].passage: "hang up",
               pairs[3].passage: "refused", pairs[4].passage: "cut off"}  # fmt: skip
    service = ChatService(lines, lambda text, before: by_text.get(text) if before == 0 else None)
    with serve_chat(service) as url, cache:
        generator = OpenAIChatGenerator(
            api_key=Secret.from_token("key"), model="m", api_base_url=url, max_retries=0, timeout=20
        )
        done = translate_pairs(pairs[:8], ["zh"], generator, cache, options=FAST)
        assert done.dropped == {"refused by the service": 1}
        assert done.rejected == {"cut off": 1}
        assert done.counts["repeated after faults"] == 3
        assert {triplet.id for triplet in done.triplets} == {f"t{place}" for place in range(8) if place != 3}
        assert (done.counts["input tokens"], done.counts["output tokens"]) == (8 * 11, 8 * 7)
        moved = OpenAIChatGenerator(api_key=Secret.from_token("other"), model="m", api_base_url="http://127.0.0.1:1")
        assert generator_identity(moved) == generator_identity(generator)
        assert "key" not in generator_identity(generator)
        other = OpenAIChatGenerator(api_key=Secret.from_token("k"), model="m", generation_kwargs={"temperature": 0})
        assert generator_identity(other) != generator_identity(generator)


def test_a_wrong_key_ends_the_run_at_once_without_repeating_what_the_service_said(
    lines: list[dict[str, str]], pairs: list[Triplet], cache: TranslationCache
) -> None:
    service = ChatService(lines, lambda _text, _before: "no key")
    with serve_chat(service) as url, cache:
        generator = OpenAIChatGenerator(api_key=Secret.from_token("k"), api_base_url=url, max_retries=0)
        with pytest.raises(ExternalError, match=r"cannot be used: AuthenticationError \(HTTP 401\)") as error:
            translate_pairs(pairs, ["zh"], generator, cache, options=TranslationOptions(concurrency=1))
    assert "secret" not in str(error.value)
    assert sum(service.asked.values()) == 1


def test_a_torn_last_line_is_asked_again_and_a_broken_one_before_it_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "cache.jsonl"
    first, second = (request_key("m", Request(text, "en", "zh")) for text in ("a", "b"))
    with TranslationCache(path) as cache:
        cache.add(first, Answer("甲", input_tokens=3), {"target_language": "zh"})
        cache.add(second, Answer("乙\u2028丙\n丁"), {})
    whole = path.read_bytes()
    for cut in range(whole.index(b"\n") + 1, len(whole)):
        path.write_bytes(whole[:cut])
        with TranslationCache(path) as cache:
            assert cache.answers(first) == (Answer("甲", input_tokens=3),)
            assert cache.answers(second) == ()
            cache.add(second, Answer("乙\u2028丙\n丁"), {})
        assert path.read_bytes() == whole
    path.write_bytes(b'{"key": \n' + whole)
    with pytest.raises(InputError, match="line 1: not valid JSON"), TranslationCache(path):
        pass
    path.write_bytes(b'{"keys": 1}')
    with pytest.raises(InputError, match="not a cache"), TranslationCache(path):
        pass
    assert path.read_bytes() == b'{"keys": 1}'
    with TranslationCache(tmp_path / "other.jsonl"), pytest.raises(ExternalError, match="another run uses"):
        TranslationCache(tmp_path / "other.jsonl").__enter__()
    with pytest.raises(InputError, match="a folder that exists"), TranslationCache(tmp_path / "none" / "c.jsonl"):
        pass


def test_the_key_tells_prompt_model_languages_and_text_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {
        request_key("m", Request("a", "en", "zh")),
        request_key("n", Request("a", "en", "zh")),
        request_key("m", Request("b", "en", "zh")),
        request_key("m", Request("a", "de", "zh")),
        request_key("m", Request("a", "en", "th")),
    }
    monkeypatch.setattr("haystack_crossalign.triplets.translation.cache.PROMPT_VERSION", 2)
    assert len(keys | {request_key("m", Request("a", "en", "zh"))}) == 6


def test_human_translations_pass_the_check_and_the_usual_lengths_are_theirs(shared_data: Path) -> None:
    with (shared_data / "train" / "ntrex_16lang.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    rows = [row for row in rows if len(row["en"]) >= 60]
    tags = sorted(rows[0].keys() - {"line", "doc", "en"})
    for tag in tags:
        assert expected_ratio("en", tag) == pytest.approx(median(len(r[tag]) / len(r["en"]) for r in rows), abs=0.006)
    check = TranslationCheck()
    reasons = Counter(
        check.reason(Request(row["en"], "en", tag), row[tag]) for row in rows[::12] for tag in ("zh", "ar", "es", "th")
    )
    assert reasons[None] >= 0.98 * reasons.total()


def test_the_estimate_is_that_of_the_stated_rule() -> None:
    request = Request("abc" * 100, "en", "zh")
    tokens = []
    found = estimate(
        [request] * 2, price_input=10.0, price_output=30.0, count_tokens=lambda text: tokens.append(text) or len(text)
    )
    instructions = tokens[0]
    assert "from English to Chinese" in instructions
    assert found.input_tokens == 2 * (len(instructions) + 300 + 8)
    assert found.output_tokens == 2 * 93  # 300 x 0.33 characters of 2.8 bytes, three bytes a token, rounded up
    assert found.cost == pytest.approx((found.input_tokens * 10 + found.output_tokens * 30) / 1e6)
    assert estimate([request]).cost is None


def test_generators_are_read_as_a_component_or_out_of_a_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    path = tmp_path / "generator.yaml"
    one = "type: haystack.components.generators.chat.openai.OpenAIChatGenerator\ninit_parameters: {model: m}\n"
    path.write_text(one, encoding="utf-8")
    assert isinstance(read_generator(path), OpenAIChatGenerator)
    indented = "".join(f"    {line}\n" for line in one.splitlines())
    path.write_text(f"components:\n  llm:\n{indented}connections: []\n", encoding="utf-8")
    assert isinstance(read_generator(path), OpenAIChatGenerator)
    for text, message in (
        ("a: [", "not YAML"),
        ("a: b", "holds no component"),
        ("type: os.system\ninit_parameters: {}", "cannot be loaded"),
        (
            "type: haystack.components.joiners.document_joiner.DocumentJoiner\ninit_parameters: {}",
            "holds no chat generator",
        ),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=message):
            read_generator(path)
    for wrong in ({"concurrency": 0}, {"attempts": 0}, {"retries": -1}, {"backoff": -1.0}, {"give_up_after": 0}):
        with pytest.raises(InputError, match="out of range"):
            TranslationOptions(**wrong)
    with pytest.raises(InputError, match="above 1"):
        TranslationCheck(1.0)

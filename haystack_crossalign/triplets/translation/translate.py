"""Build triplets from (query, passage) pairs translated by a chat model, as in the paper.

Every answer is first written to a cache on disk, so that a killed run can continue where it stopped. Answers are
checked (`translation.check`), rejected ones are requested again, and texts without a translation are counted.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

from haystack_crossalign.data.triplets import Triplet
from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.triplets.translation.cache import Answer, TranslationCache, request_key
from haystack_crossalign.triplets.translation.chat_generator import (
    ChatGenerator,
    RefusalError,
    ServiceError,
    ask,
    generator_identity,
)
from haystack_crossalign.triplets.translation.check import REASONS, TranslationCheck
from haystack_crossalign.triplets.translation.prompt import Request, messages_for

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TranslationOptions:
    """Options for requests to a model.

    :param concurrency: concurrent requests; 1 for generators that are not thread-safe.
    :param attempts: maximum number of answers per text, including rejected ones.
    :param retries: maximum number of retries after a fault of the service.
    :param backoff: seconds before the first retry, doubled for each further one; the service may ask for more.
    :param longest_wait: maximum seconds of a wait.
    :param give_up_after: stop after this many consecutive texts without an answer.
    :param length_factor: see :class:`~haystack_crossalign.triplets.translation.check.TranslationCheck`.
    :param queries: whether to translate the queries as well, for target-language queries.
    """

    concurrency: int = 4
    attempts: int = 3
    retries: int = 5
    backoff: float = 1.0
    longest_wait: float = 60.0
    give_up_after: int = 5
    length_factor: float = 2.5
    queries: bool = False

    def __post_init__(self) -> None:
        for name, least in (("concurrency", 1), ("attempts", 1), ("retries", 0), ("give_up_after", 1)):
            if getattr(self, name) < least:
                raise InputError("out of range", field=name, seen=getattr(self, name), allowed=f"{least} or more")
        if self.backoff < 0 or self.longest_wait < 0:
            raise InputError("out of range", field="backoff", seen=self.backoff, allowed="0 or more seconds")


@dataclass(frozen=True)
class Translated:
    """The result of translating pairs.

    :param triplets: pairs with at least one target passage, in order.
    :param counts: counts by description: texts, cached answers, requested answers, retries after faults, tokens.
    :param rejected: rejected answers by reason.
    :param dropped: texts without a translation, by the reason of the last answer.
    """

    triplets: tuple[Triplet, ...]
    counts: Mapping[str, int]
    rejected: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """The numbers, ready for JSON."""
        return {"counts": dict(self.counts), "rejected": dict(self.rejected), "dropped": dict(self.dropped)}


def requests_of(pairs: Iterable[Triplet], languages: Sequence[str], *, queries: bool = False) -> tuple[Request, ...]:
    """The texts to be translated, each once, passages before queries of a pair; what a pair has already is left out.

    :param pairs: triplets, also without targets.
    :param languages: normalized tags of the targets.
    :param queries: whether queries are wanted too.
    """
    requests: dict[Request, None] = {}
    for pair in pairs:
        for tag in languages:
            if tag == pair.language:
                continue
            if tag not in pair.targets:
                requests[Request(pair.passage, pair.language, tag)] = None
            if queries and tag not in pair.target_queries:
                requests[Request(pair.query, pair.language, tag)] = None
    return tuple(requests)


def open_requests(
    requests: Iterable[Request], generator: ChatGenerator, cache: TranslationCache, options: TranslationOptions
) -> Iterator[Request]:
    """Those that the cache has neither an accepted answer nor enough rejected ones for: what a run will ask."""
    model, check = generator_identity(generator), TranslationCheck(options.length_factor)
    for request in requests:
        answers = cache.answers(request_key(model, request))
        final = len(answers) >= options.attempts or any(answer.refused for answer in answers)
        if not final and all(_reason(check, request, answer) for answer in answers):
            yield request


def translate_pairs(
    pairs: Sequence[Triplet],
    languages: Sequence[str],
    generator: ChatGenerator,
    cache: TranslationCache,
    *,
    options: TranslationOptions | None = None,
    progress: Progress | None = None,
) -> Translated:
    """Translate the passages of pairs, and their queries where asked to.

    :param pairs: triplets, also without targets; what they have stays.
    :param languages: normalized tags of the targets.
    :param generator: any Haystack chat generator.
    :param cache: an open cache.
    :param options: how to ask.
    :param progress: called with (texts done, texts).
    :raises ExternalError: if the service cannot be used, or stops answering; the cache keeps what was answered.
    """
    options = options or TranslationOptions()
    requests = requests_of(pairs, languages, queries=options.queries)
    run = _Run(generator, cache, options)
    answers = run.all(requests, progress)
    triplets = []
    for pair in pairs:
        targets, queries = dict(pair.targets), dict(pair.target_queries)
        for tag in languages:
            passage = answers.get(Request(pair.passage, pair.language, tag))
            if passage is not None:
                targets.setdefault(tag, passage)
            query = answers.get(Request(pair.query, pair.language, tag)) if options.queries else None
            if query is not None and tag in targets:
                queries.setdefault(tag, query)
        if targets:
            triplets.append(replace(pair, targets=targets, target_queries=queries))
    counts = {name: run.counts[name] for name in _COUNTS} | {"texts": len(requests), "pairs": len(pairs)}
    counts |= {"triplets": len(triplets), "pairs dropped": len(pairs) - len(triplets)}
    rejected = {reason: run.rejected[reason] for reason in REASONS if run.rejected[reason]}
    dropped = {reason: run.dropped[reason] for reason in REASONS if run.dropped[reason]}
    return Translated(tuple(triplets), counts, rejected, dropped)


_COUNTS = ("from the cache", "asked", "repeated after faults", "input tokens", "output tokens")


class _Run:
    """One run over all texts, with what it counts. Its threads share nothing but the counters, behind a lock."""

    def __init__(self, generator: ChatGenerator, cache: TranslationCache, options: TranslationOptions) -> None:
        self.counts: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._generator, self._cache, self._options = generator, cache, options
        self._model = generator_identity(generator)
        self._check = TranslationCheck(options.length_factor)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._unanswered = 0

    def all(self, requests: Sequence[Request], progress: Progress | None) -> dict[Request, str]:
        """The accepted answers."""
        if requests:
            warm_up = getattr(self._generator, "warm_up", None)
            if callable(warm_up):
                warm_up()
        accepted: dict[Request, str] = {}
        waiting: dict[Future[str | None], Request] = {}
        done = 0
        pool = ThreadPoolExecutor(self._options.concurrency, thread_name_prefix="translate")
        try:
            for request in (*requests, None):
                if request is not None:
                    waiting[pool.submit(self._settle, request)] = request
                while waiting and (request is None or len(waiting) > 2 * self._options.concurrency):
                    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                        asked, text = waiting.pop(future), future.result()
                        if text is not None:
                            accepted[asked] = text
                        done += 1
                        if progress is not None:
                            progress(done, len(requests))
        finally:
            # After an error or Ctrl-C: wake the threads that wait, start none that is queued; answers on their way
            # still reach the cache.
            self._stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
        return accepted

    def _settle(self, request: Request) -> str | None:
        """An accepted answer, from the cache or the model; None if the text is given up."""
        key = request_key(self._model, request)
        reason: str | None = None
        known = self._cache.answers(key)
        for answer in known:
            reason = _reason(self._check, request, answer)
            if reason is None:
                self._count("from the cache")
                return answer.text
        left = 0 if any(answer.refused for answer in known) else self._options.attempts - len(known)
        for _ in range(left):
            fresh = self._ask(request)
            if isinstance(fresh, str):
                reason = fresh
                break
            self._cache.add(key, fresh, {"source_language": request.source, "target_language": request.target})
            reason = _reason(self._check, request, fresh)
            with self._lock:
                self._unanswered = 0
                self.counts["asked"] += 1
                self.counts["input tokens"] += fresh.input_tokens
                self.counts["output tokens"] += fresh.output_tokens
                if reason is not None:
                    self.rejected[reason] += 1
            if reason is None:
                return fresh.text
            if fresh.refused:
                break
        with self._lock:
            self.dropped[reason or "no answer"] += 1
        return None

    def _ask(self, request: Request) -> Answer | str:
        """What the model answers; the reason where it does not: the next run asks such texts again."""
        messages = messages_for(request)
        options = self._options
        fault, reason = "", "no answer"
        for attempt in range(options.retries + 1):
            if self._stop.is_set():
                return reason
            try:
                return ask(self._generator, messages)
            except RefusalError as error:
                fault, reason = str(error), "refused by the service"
                break
            except ServiceError as error:
                fault = str(error)
                if attempt == options.retries:
                    break
                self._count("repeated after faults")
                self._stop.wait(min(max(error.wait or 0.0, options.backoff * 2**attempt), options.longest_wait))
            except ExternalError:
                self._stop.set()  # the other threads must not ask in vain until this error has come through
                raise
        with self._lock:
            # Once it has answered anything, a refusal is about the text: however many, they must not end every run.
            if reason == "no answer" or not (self.counts["asked"] or self.counts["from the cache"]):
                self._unanswered += 1
            if self._unanswered >= options.give_up_after:
                self._stop.set()
                raise ExternalError(
                    f"the chat generator did not answer {self._unanswered} texts in a row, the last time: {fault}. "
                    f"Its answers so far are in {self._cache.path}; run the same command again to continue"
                )
        return reason

    def _count(self, name: str) -> None:
        with self._lock:
            self.counts[name] += 1


def _reason(check: TranslationCheck, request: Request, answer: Answer) -> str | None:
    if answer.refused:
        return "refused by the service"
    return check.reason(request, answer.text, cut_off=answer.cut_off)

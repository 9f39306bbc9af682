"""Why an answer is not a translation: empty, cut off, in the wrong language, implausibly long or short."""

from __future__ import annotations

import threading

from haystack_crossalign.data.triplets import normalized
from haystack_crossalign.errors import InputError
from haystack_crossalign.text.detection import DETECTABLE_LANGUAGES, LanguageDetector
from haystack_crossalign.triplets.translation.prompt import Request, expected_ratio

REASONS = ("empty", "cut off", "wrong language", "implausible length", "refused by the service", "no answer")
"""All reasons by which a text can be left without a translation; the last two are the service's doing."""

_SLACK = 20
"""Characters: short texts vary more than a ratio can say."""

_SAME = 40
"""An answer that repeats a text of this many characters is not a translation; shorter ones may be names."""


class TranslationCheck:
    """Judges answers.

    :param length_factor: how many times the usual length for the two languages, or what part of it, is plausible.
    :raises InputError: for a factor that is not above 1.
    """

    def __init__(self, length_factor: float = 2.5) -> None:
        if not length_factor > 1:
            raise InputError("must be above 1", field="length_factor", seen=length_factor)
        self._factor = length_factor
        self._detector = LanguageDetector()
        self._lock = threading.Lock()  # the library behind the detector does not say that threads may share it

    def reason(self, request: Request, answer: str, *, cut_off: bool = False) -> str | None:
        """Why the answer is rejected, one of `REASONS`; None if it is accepted.

        A language that cannot be detected passes, since short texts and names have none.

        :param request: what was asked.
        :param answer: the answer, without white space around it.
        :param cut_off: the model said that it stopped at its limit.
        """
        if not answer.strip():
            return "empty"
        if cut_off:
            return "cut off"
        usual = len(request.text) * expected_ratio(request.source, request.target)
        # First: what is much too long (an explanation, a refusal) is often in another language too.
        if not usual / self._factor - _SLACK <= len(answer) <= usual * self._factor + _SLACK:
            return "implausible length"
        if len(request.text) >= _SAME and normalized(answer) == normalized(request.text):
            return "wrong language"
        with self._lock:
            language = self._detector.detect([answer])[0].language
        wanted = request.target.split("-")[0]
        if language is not None and wanted in DETECTABLE_LANGUAGES and language.split("-")[0] != wanted:
            return "wrong language"
        return None

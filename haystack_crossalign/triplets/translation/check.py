"""Check whether an answer is a translation: not empty, cut off, in the wrong language, or implausibly long or short."""

from __future__ import annotations

import threading

from haystack_crossalign.data.triplets import normalized
from haystack_crossalign.errors import InputError
from haystack_crossalign.text.detection import DETECTABLE_LANGUAGES, LanguageDetector
from haystack_crossalign.triplets.translation.prompt import Request, expected_ratio

REASONS = ("empty", "cut off", "wrong language", "implausible length", "refused by the service", "no answer")
"""All reasons why a text can have no translation; the last two are caused by the service."""

_SLACK = 20
"""Characters by which lengths may differ in any case: ratios of short texts vary too much."""

_SAME = 40
"""An answer that repeats a text of at least this many characters is not a translation; shorter texts may be names."""


class TranslationCheck:
    """Checks answers.

    :param length_factor: largest plausible ratio to the usual length for the two languages, in either direction.
    :raises InputError: for a factor that is not above 1.
    """

    def __init__(self, length_factor: float = 2.5) -> None:
        if not length_factor > 1:
            raise InputError("must be above 1", field="length_factor", seen=length_factor)
        self._factor = length_factor
        self._detector = LanguageDetector()
        self._lock = threading.Lock()  # the detector's library is not documented as thread-safe

    def reason(self, request: Request, answer: str, *, cut_off: bool = False) -> str | None:
        """Why the answer is rejected, one of `REASONS`; None if it is accepted.

        Texts whose language cannot be detected pass, since short texts and names have no clear language.

        :param request: the request.
        :param answer: the answer, without surrounding white space.
        :param cut_off: the model reported that it stopped at its limit.
        """
        if not answer.strip():
            return "empty"
        if cut_off:
            return "cut off"
        usual = len(request.text) * expected_ratio(request.source, request.target)
        # Checked first: an answer that is much too long (an explanation, a refusal) is often also in another language.
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

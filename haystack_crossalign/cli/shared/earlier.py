"""The earlier result of --fail-if-worse-than."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from haystack_crossalign.cli.shared.options import AuditFlags, split_names
from haystack_crossalign.cli.shared.terminal import say
from haystack_crossalign.errors import InputError

if TYPE_CHECKING:
    from haystack_crossalign.audit.gate import Outcome
    from haystack_crossalign.audit.result import AuditResult


class EarlierResult:
    """An earlier result, read before the work starts.

    :param flags: the file, and how results are compared.
    :raises InputError: if it cannot be read, is not an audit result, or has none of the measures that are compared.
    """

    def __init__(self, flags: AuditFlags) -> None:
        from haystack_crossalign.audit.over_time.worse import judged_measures
        from haystack_crossalign.audit.result import AuditResult

        self._path = str(flags.fail_if_worse_than)
        self._last = AuditResult.load(self._path)
        self._flags = flags
        judged = judged_measures(split_names(flags.measures))
        held = {name for row in self._last.rows for name in row["measures"]}
        if not held.intersection(judged):
            raise InputError(
                "the earlier result has none of the measures that are compared", source=self._path,
                seen=", ".join(sorted(held)), allowed=", ".join(judged) or "measures with a better direction",
            )  # fmt: skip

    def outcomes(self, result: AuditResult) -> list[Outcome]:
        """Judge a result, and say what could not be tested.

        :param result: the result.
        :raises InputError: if the results share no row.
        """
        from haystack_crossalign.audit.over_time.worse import worse_than

        verdict = worse_than(
            self._last,
            result,
            names=(Path(self._path).name, "this result"),
            measures=split_names(self._flags.measures),
            samples=self._flags.samples,
            seed=self._flags.seed,
        )
        for note in verdict.notes:
            say(f"crossalign: --fail-if-worse-than: {note}", err=True)
        if not verdict.outcomes:
            say("crossalign: --fail-if-worse-than: no measure could be compared", err=True)
        return list(verdict.outcomes)

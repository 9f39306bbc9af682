"""Common steps of `audit`, `benchmark` and `demo`: embed, rank, apply the gate, write, print."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from haystack_crossalign.audit.over_time.stamp import parse_stamp, stamped
from haystack_crossalign.cli.shared.earlier import EarlierResult
from haystack_crossalign.cli.shared.options import AuditFlags
from haystack_crossalign.cli.shared.progress import Stages
from haystack_crossalign.cli.shared.terminal import console, say
from haystack_crossalign.errors import InputError
from haystack_crossalign.messages import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from haystack_crossalign.api.collection import CollectionAudit
    from haystack_crossalign.audit.gate import Outcome
    from haystack_crossalign.audit.result import AuditResult
    from haystack_crossalign.audit.run import Embedder
    from haystack_crossalign.audit.scenarios import Scenario
    from haystack_crossalign.data.collection import JudgedCollection
    from haystack_crossalign.opensearch.live.queries import LiveQueries
    from haystack_crossalign.ranks import Similarity

GATE_FAILED = 1


class Session:
    """An audit with its gate, files and table.

    :param flags: conditions of the gate, and files to write.
    :param lists: names of lists that conditions may use.
    :raises InputError: for an invalid condition or stamp, or an earlier result that cannot be read.
    """

    def __init__(self, flags: AuditFlags, *, lists: Sequence[str] = ()) -> None:
        self.outputs = flags.outputs
        self.conditions = flags.conditions(lists)
        self._stamp = None if flags.stamp is None else parse_stamp(flags.stamp)
        if flags.ndjson is not None and self._stamp is None:
            raise InputError(
                "documents of a results index need a time", source="--ndjson", allowed="--stamp now with it"
            )
        if flags.run is None and flags.run_depth != AuditFlags.run_depth:
            raise InputError("is the depth of a TREC run", source="--run-depth", allowed="--run FILE with it")
        self._last = EarlierResult(flags) if flags.fail_if_worse_than is not None else None
        self.quiet = flags.quiet
        self.stages = Stages(show=not flags.quiet)
        self._run_depth = flags.run_depth
        self._texts = not flags.no_texts

    def check_plan(self, collection: JudgedCollection, plan: Sequence[Scenario]) -> None:
        """Reject what would fail only after the work: conditions that match no row, and a TREC run of several pools or
        with invalid ids.

        :raises InputError: naming the option.
        """
        from haystack_crossalign.audit.gate import check_conditions
        from haystack_crossalign.audit.trec import run_rows
        from haystack_crossalign.data.formats.run_files import format_qrels

        check_conditions(self.conditions, plan)
        if self.outputs.run is not None:
            run_rows(plan)
        if self.outputs.run is not None or self.outputs.qrels is not None:
            format_qrels(collection.queries.ids, [()] * len(collection.queries))
            format_qrels(("any",), (collection.documents.ids,))

    def run(self, audit: CollectionAudit, embedder: Embedder | None) -> None:
        """Embed, rank everything exactly, write the files and print the summary.

        :param audit: what is ranked.
        :param embedder: the embedder; None if all texts have vectors.
        :raises typer.Exit: with code 1 if the gate fails.
        """
        with self.stages as progress:
            result = audit.run(embedder, progress=progress)
        self.finish(result, audit.collection, audit.plan, audit.ranked_by.similarity)

    def finish(
        self,
        result: AuditResult,
        collection: JudgedCollection,
        plan: Sequence[Scenario] = (),
        similarity: Similarity = "cosine",
    ) -> None:
        """Write the files of an audit of a collection, and print the summary.

        :param result: the result.
        :param collection: documents, queries and judgments.
        :param plan: the rows, for a TREC run; empty if the result is that of a run.
        :param similarity: similarity of the ranking.
        :raises typer.Exit: with code 1 if the gate fails.
        """
        self._finish(result, lambda: self._trec(collection, plan, similarity))

    def check_live(self, plan: Sequence[Scenario], retrievals: Sequence[str]) -> None:
        """Reject what would fail only after the audit of an index.

        :param plan: the rows.
        :param retrievals: names of the retrieved lists.
        :raises InputError: if a condition matches no row.
        """
        from haystack_crossalign.audit.gate import check_conditions

        check_conditions(self.conditions, plan, retrievals=retrievals)

    def finish_live(
        self,
        result: AuditResult,
        queries: LiveQueries,
        *,
        shown: Mapping[str, str],
        partial: bool,
        more: Mapping[str, Any],
    ) -> None:
        """Write the files of an audit of an index and print the summary.

        :param result: the result.
        :param queries: its queries, for the qrels.
        :param shown: what the result calls their documents.
        :param partial: whether it was stopped early or has rows without figures; then the gate is not applied.
        :param more: data for the file of the times: the plan and the traffic.
        :raises typer.Exit: with code 1 if the gate fails.
        """
        from haystack_crossalign.data.formats.run_files import format_qrels

        def trec() -> dict[str, str]:
            if self.outputs.qrels is None:
                return {}
            grades = queries.grades or [dict.fromkeys(names, 1) for names in queries.judged]
            judged = [{shown.get(name, name): grade for name, grade in row.items()} for row in grades]
            return {"qrels": format_qrels(queries.ids, judged)}

        self._finish(result, trec, more=more, gate=not partial)
        if partial and (self.conditions or self._last):
            say("crossalign: --fail-on and --fail-if-worse-than are not applied to a partial result", err=True)

    def _finish(
        self,
        result: AuditResult,
        trec: Callable[[], dict[str, str]],
        *,
        more: Mapping[str, Any] | None = None,
        gate: bool = True,
    ) -> None:
        from haystack_crossalign.audit.gate import evaluate_gate, failed

        result = stamped(result, self._stamp)
        outcomes = evaluate_gate(self.conditions, result) if gate else []
        if gate and self._last is not None:
            outcomes += self._last.outcomes(result)
        shown = result if self._texts else result.without_texts()
        written = self.outputs.write({**self._rendered(shown, outcomes), **trec()}, self.stages.seconds, more)
        if not self.quiet:
            self._print(shown, outcomes, written)
        else:
            for outcome in outcomes:
                if outcome.failed:
                    say(
                        f"gate failed: {outcome.condition} ({outcome.scenario}, queries in {outcome.query_language}: "
                        f"{outcome.value:.6g}{_range(outcome)}{_judged(outcome)})",
                        err=True,
                    )
        if failed(outcomes):
            raise typer.Exit(GATE_FAILED)

    def _trec(self, collection: JudgedCollection, plan: Sequence[Scenario], similarity: Similarity) -> dict[str, str]:
        texts: dict[str, str] = {}
        if self.outputs.run is not None:
            from haystack_crossalign.audit.trec import trec_run

            texts["run"] = trec_run(collection, plan, self._run_depth, similarity=similarity)
        if self.outputs.qrels is not None:
            from haystack_crossalign.audit.trec import trec_qrels

            texts["qrels"] = trec_qrels(collection)
        return texts

    def _rendered(self, result: AuditResult, outcomes: Sequence[Outcome]) -> dict[str, str]:
        texts: dict[str, str] = {}
        data = result.to_dict()
        if self.outputs.json is not None:
            texts["json"] = result.to_json()
        if self.outputs.report is not None:
            from haystack_crossalign.report.html import render_html

            texts["report"] = render_html(data)
        if self.outputs.markdown is not None:
            from haystack_crossalign.report.markdown import render_markdown

            texts["markdown"] = render_markdown(data)
        if self.outputs.junit is not None:
            from haystack_crossalign.report.junit import junit_xml

            texts["junit"] = junit_xml([outcome.to_dict() for outcome in outcomes])
        if self.outputs.metrics is not None:
            from haystack_crossalign.report.export.openmetrics import openmetrics

            texts["metrics"] = openmetrics(data, [outcome.to_dict() for outcome in outcomes])
        if self.outputs.ndjson is not None:
            from haystack_crossalign.report.export.bulk import bulk_documents

            texts["ndjson"] = bulk_documents(data)
        return texts

    def _print(self, result: AuditResult, outcomes: Sequence[Outcome], written: Sequence[Path]) -> None:
        from haystack_crossalign.report.terminal import fitting, gate_table, result_view

        out = console()
        for part in result_view(result.to_dict()):
            out.print(fitting(part, out))
        if outcomes:
            out.print(fitting(gate_table([outcome.to_dict() for outcome in outcomes]), out))
        for path in written:
            out.print(one_line(f"Wrote {path}"), soft_wrap=True, highlight=False, markup=False)


def _range(outcome: Outcome) -> str:
    return "" if outcome.ties is None else f"; {outcome.ties[0]:.6g} to {outcome.ties[1]:.6g} by the order of ties"


def _judged(outcome: Outcome) -> str:
    return "" if outcome.judged_by is None else f"; {outcome.limit:.6g} before, {outcome.judged_by}"

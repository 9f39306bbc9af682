"""Judge the model of a job: audits with the same held-out queries before and after, and the gate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from haystack_crossalign.audit.compare import Comparison, compare_results
from haystack_crossalign.audit.gate import Outcome, check_conditions, evaluate_gate, failed, parse_condition
from haystack_crossalign.audit.provenance import build_provenance, describe_data
from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.audit.run import Embedder, Progress, audit_vectors, embed_collection
from haystack_crossalign.audit.similarity import settle_similarity
from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.formats.read import read_collection
from haystack_crossalign.data.triplets import Triplet
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source
from haystack_crossalign.measures import Complete, parse_measure
from haystack_crossalign.repair.fit import held_out_plan, same_language_harm
from haystack_crossalign.repair.options import accepted_own_first_loss, accepted_same_language_loss
from haystack_crossalign.repair.sample import FEWEST, judged_collection, probes_of
from haystack_crossalign.repair.scores import LanguageHarm
from haystack_crossalign.repair.texts import texts_from_triplets
from haystack_crossalign.retrain.config import Gate, JobConfig
from haystack_crossalign.triplets.targets import EvaluationFiles, find_evaluation_files

_SOURCE = "gate.fail_on"
_OWN_FIRST = "Top1[relevant,same]"


@dataclass(frozen=True, eq=False)
class Judgment:
    """The result of the gate.

    :param before: audit of the current model.
    :param after: audit of the new one.
    :param comparison: comparison of the two.
    :param outcomes: the conditions.
    :param harm: same-language retrieval of each language.
    :param improvement: mean Max@R_norm over the query languages, before and after; None without a mixed pool.
    :param latest: the same for the published version, if it was requested and exists.
    :param failures: reasons for not publishing the model; empty if it is published.
    """

    before: AuditResult
    after: AuditResult
    comparison: Comparison
    outcomes: tuple[Outcome, ...]
    harm: tuple[LanguageHarm, ...]
    improvement: tuple[float, float] | None
    latest: float | None
    failures: tuple[str, ...]

    def facts(self) -> dict[str, Any]:
        """The part of it for the outcome file."""
        return {
            "same_language": [
                {**asdict(change), "interval": list(change.interval), "difference": change.difference}
                for change in self.harm
            ],
            "improvement": None
            if self.improvement is None
            else {
                "measure": "Max@R_norm",
                "before": self.improvement[0],
                "after": self.improvement[1],
                "latest": self.latest,
            },
            "gate": [outcome.to_dict() for outcome in self.outcomes],
        }


def audit_collection(
    job: JobConfig, train: Sequence[Triplet], held_out: Sequence[Triplet], sources: Sequence[Source]
) -> JudgedCollection:
    """The collection that judges the model: the files of the configuration, else the held-out triplets.

    :param job: the configuration.
    :param train: the training triplets, for their languages.
    :param held_out: the held-out triplets.
    :param sources: their files.
    :raises InputError: if the files are invalid, or too few queries were held out.
    """
    part = job.audit
    tags = {tag for triplet in (*train, *held_out) for tag in (triplet.language, *triplet.targets)}
    if part.documents is not None and part.queries is not None:
        collection = read_collection(job.file(part.documents), job.file(part.queries))
        queries_of = {tag: len(collection.restrict([tag], [tag]).queries) for tag in tags}
        _check_languages(job, queries_of, "audit.queries", "queries with relevant documents in it, fewer languages")
        return collection
    texts = texts_from_triplets(held_out)
    documents, probes = probes_of(texts.passages, texts.questions)
    counts: Mapping[str, int] = Counter(probe.language for probe in probes)
    kept = [probe for probe in probes if counts[probe.language] >= FEWEST]
    if kept:
        remedy = "a larger share, more data, fewer languages, audit.documents and audit.queries"
        _check_languages(job, {tag: counts[tag] for tag in tags}, "audit.share", remedy)
    if not kept:
        raise InputError(
            "too few parallel groups were held out to judge by",
            source=job.path,
            field="audit.share",
            seen=f"{max(counts.values(), default=0)} queries in the language with most",
            allowed=f"{FEWEST} or more: a larger share, more data, or audit.documents and audit.queries",
        )
    return judged_collection(documents, kept, sources)


def _check_languages(job: JobConfig, counts: Mapping[str, int], field: str, remedy: str) -> None:
    """Reject a collection with too few queries in a language that the model is changed for.

    :param counts: number of queries by language, with relevant documents in their own language.
    :param field: key of the configuration, for the message.
    :param remedy: what would help.
    """
    few = sorted(tag for tag, count in counts.items() if count < FEWEST)
    if few and job.gate.tolerance is not None:
        raise InputError(
            f"too few queries to see whether {few[0]} loses anything",
            source=job.path,
            field=field,
            seen=", ".join(f"{counts[tag]} queries in {tag}" for tag in few),
            allowed=f"{FEWEST} or more in each language of the data: {remedy}; or gate.tolerance: null",
        )


def check_gate(gate: Gate, collection: JudgedCollection) -> None:
    """Reject conditions that the audit cannot evaluate, before any training.

    :param gate: the conditions.
    :param collection: the collection that judges the model.
    :raises InputError: naming the condition.
    """
    plan = held_out_plan(collection)
    for row in plan:
        part = collection.restrict(row.pool_languages, [row.query_language])
        if not len(part.queries):
            raise InputError(
                f"no query in {row.query_language} has a relevant document in {' or '.join(row.pool_languages)}",
                source=collection.name,
                field="audit.queries",
                allowed="queries with a relevant document in their own language",
            )
    conditions = [parse_condition(text, source=_SOURCE) for text in gate.fail_on]
    check_conditions(conditions, plan, source=_SOURCE)
    for condition in conditions:
        measure = parse_measure(condition.measure)
        for row in plan if isinstance(measure, Complete) else ():
            if row.name == condition.scenario and condition.query_language in (None, row.query_language):
                fewest = min(map(len, collection.restrict(row.pool_languages, [row.query_language]).relevant))
                if isinstance(measure, Complete) and fewest > measure.cutoff:
                    raise InputError(
                        f"{measure.name} has no value for queries in {row.query_language}: "
                        f"{fewest} versions do not fit into the top {measure.cutoff}",
                        source=_SOURCE,
                        seen=condition.text,
                        allowed="a condition on another measure, such as Max@R_norm",
                    )
    for name in ("must_improve", "must_beat_latest", "keep_own_first"):
        if getattr(gate, name) not in (None, False, "auto") and not any(row.name == "multi" for row in plan):
            raise InputError(
                "the held-out documents have no versions in other languages, so this cannot be measured",
                field=f"gate.{name}",
                allowed=f"{'null' if name == 'keep_own_first' else 'false'}, or parallel documents",
            )


def audit_model(
    collection: JudgedCollection, embedder: Embedder, job: JobConfig, *, progress: Progress | None = None
) -> AuditResult:
    """Audit a model.

    :param collection: documents and queries without vectors.
    :param embedder: the model.
    :param job: samples, seed, and the measures of its gate.
    :param progress: called while embedding and ranking.
    """
    embedded = embed_collection(collection, embedder, progress=progress)
    model = embedder.provenance()
    ranked_by = settle_similarity(model)
    result = audit_vectors(
        embedded,
        held_out_plan(embedded),
        provenance=build_provenance(
            "retrain",
            describe_data(collection),
            model=model,
            options={"samples": job.audit.samples, "share": job.audit.share, "limit": job.audit.limit},
            seed=job.seed,
            ranked_by=ranked_by,
        ),
        similarity=ranked_by.similarity,
        also=[
            parse_measure(name) for name in (_OWN_FIRST, *(parse_condition(text).measure for text in job.gate.fail_on))
        ],
        seed=job.seed,
        samples=job.audit.samples,
        progress=progress,
    )
    return result if job.audit.texts else result.without_texts()


def judge(before: AuditResult, after: AuditResult, job: JobConfig, *, published: AuditResult | None = None) -> Judgment:
    """Apply the gate to the audit after, and compare it with the audit before.

    :param before: audit of the current model.
    :param after: audit of the new one, of the same queries.
    :param job: its gate, samples and seed.
    :param published: audit of the published version with the same queries, if the new one must be better.
    """
    gate = job.gate
    outcomes = tuple(
        evaluate_gate([parse_condition(text, source=_SOURCE) for text in gate.fail_on], after, source=_SOURCE)
    )
    # A tolerance of 1 allows any loss.
    harm = same_language_harm(before, after, 1.0 if gate.tolerance is None else gate.tolerance)
    first, second, latest = (_closeness(result) for result in (before, after, published))
    improvement = None if first is None or second is None else (first, second)
    failures = [
        f"{outcome.condition} ({outcome.scenario}, queries in {outcome.query_language}: {outcome.value:.6g})"
        for outcome in outcomes
        if failed([outcome])
    ]
    failures += [
        f"same-language NDCG@1 in {change.language} went from {change.before:.4f} to {change.after:.4f}, more than "
        f"{accepted_same_language_loss(gate.tolerance, change.queries):.2g} down"
        for change in harm
        if gate.tolerance is not None and change.beyond(accepted_same_language_loss(gate.tolerance, change.queries))
    ]
    for tag, queries, first_share, second_share in _own_first(before, after):
        bound = accepted_own_first_loss(gate.keep_own_first, queries)
        if bound is not None and second_share < first_share - bound - 1e-9:
            failures.append(
                f"{_OWN_FIRST} of queries in {tag} went from {first_share:.4f} to {second_share:.4f}, more than "
                f"{bound:.2g} down"
            )
    if gate.must_improve and improvement is not None and not improvement[1] > improvement[0]:
        failures.append(f"mean Max@R_norm did not rise: {improvement[0]:.4f} before, {improvement[1]:.4f} after")
    if gate.must_beat_latest and improvement is not None and latest is not None and not improvement[1] > latest:
        failures.append(f"mean Max@R_norm is {improvement[1]:.4f}, that of the published version {latest:.4f}")
    return Judgment(
        before=before,
        after=after,
        comparison=compare_results(before, after, samples=job.audit.samples, seed=job.seed),
        outcomes=outcomes,
        harm=harm,
        improvement=improvement,
        latest=latest,
        failures=tuple(failures),
    )


def _closeness(result: AuditResult | None) -> float | None:
    """Mean Max@R_norm over the query languages."""
    rows = [] if result is None else [row for row in result.rows if row["scenario"] == "multi"]
    return float(np.mean([row["measures"]["Max@R_norm"] for row in rows])) if rows else None


def evaluation_files(job: JobConfig) -> EvaluationFiles:
    """Files whose texts must not be trained on.

    :raises InputError: as :func:`~haystack_crossalign.triplets.targets.find_evaluation_files`.
    """
    paths = (*job.filters.evaluation, job.audit.documents, job.audit.queries)
    return find_evaluation_files(job.file(name) for name in paths if name is not None)


def _own_first(before: AuditResult, after: AuditResult) -> list[tuple[str, int, float, float]]:
    """Language, number of queries, and the share of those with a relevant document in their own language at rank 1,
    before and after."""
    rows = [
        {row["query_language"]: row for row in result.rows if row["scenario"] == "multi"} for result in (before, after)
    ]
    return [
        (tag, row["queries"], row["measures"][_OWN_FIRST], rows[1][tag]["measures"][_OWN_FIRST])
        for tag, row in sorted(rows[0].items())
    ]

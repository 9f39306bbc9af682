"""Repair a model without training: fit on a few dozen documents, choose under the no-harm condition, audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haystack_crossalign.audit.compare import Comparison, compare_results
from haystack_crossalign.audit.provenance import build_provenance, describe_data
from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.audit.run import Embedder, Progress, audit_vectors
from haystack_crossalign.audit.scenarios import Scenario, plan_scenarios
from haystack_crossalign.audit.similarity import RankedBy, settle_similarity
from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.files.reading import Source
from haystack_crossalign.repair.affine import check_lengths
from haystack_crossalign.repair.directions import (
    LanguageDirections,
    choose_language_maps,
    choose_repair,
    fit_language_directions,
)
from haystack_crossalign.repair.judging.dial import DIAL, Dial, DialMeasure
from haystack_crossalign.repair.judging.left_out import LeaveOneOut, LeftOut
from haystack_crossalign.repair.judging.notes import choice_notes, own_first_notes, protection_notes, recognition_notes
from haystack_crossalign.repair.judging.own_margins import MarginSearch
from haystack_crossalign.repair.maps.detectors import BetweenOthersError, ShortQueries
from haystack_crossalign.repair.matrix_file import VectorMap
from haystack_crossalign.repair.options import RepairOptions
from haystack_crossalign.repair.other_languages import OtherLanguages, known_others
from haystack_crossalign.repair.sample import RepairSample, judged_collection, short_queries, without_counterpart
from haystack_crossalign.repair.scores import HeldOut, LanguageHarm, harm_of_language, held_out_score, queries_needed
from haystack_crossalign.repair.trials import RepairChoice, RepairScore

_UNIT = 1e-3
"""Maximum deviation from 1 of a length that counts as 1, for any number format."""


_MAPS = 100
"""Maps that are tried for two languages, about."""


@dataclass(frozen=True, eq=False)
class RepairOutcome:
    """A repair with the evidence for and against it.

    :param repair: the map.
    :param fitted: its directions.
    :param choice: the choice, with all trials.
    :param criterion: what the choice minimizes, in words.
    :param harm: same-language retrieval of each language, before and after.
    :param before: audit of the held-out documents before the repair.
    :param after: audit of the same vectors transformed by the map.
    :param comparison: comparison of the two audits.
    :param sample: the documents.
    :param probe_vectors: float32 ``[n, dim]``, vectors of the first held-out documents before the repair.
    :param notes: what a reader must know.
    :param left_out: what the repair does to each language when it is made without it.
    :param keep_own_first: accepted loss of the own language first, None for any.
    :param dial: what other strengths give, None if nothing changes or documents are not parallel.
    :param unknown: tags of other languages whose texts the model does not tell apart; nothing protects them.
    """

    repair: VectorMap
    fitted: LanguageDirections
    choice: RepairChoice
    criterion: str
    harm: tuple[LanguageHarm, ...]
    before: AuditResult
    after: AuditResult
    comparison: Comparison
    sample: RepairSample
    probe_vectors: NDArray[np.float32]
    notes: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()
    unknown: tuple[str, ...] = ()
    dial: Dial | None = None
    keep_own_first: float | None = None

    @property
    def changes(self) -> bool:
        """Whether the map changes anything. If not, no harmless map was better than the model."""
        return self.choice.chosen.changes


def fit_repair(
    sample: RepairSample,
    embedder: Embedder,
    *,
    sources: Sequence[Source] = (),
    options: RepairOptions | None = None,
    progress: Progress | None = None,
) -> RepairOutcome:
    """Fit the directions, choose the strengths and audit the held-out documents before and after.

    If a language has fewer held-out queries than :func:`~haystack_crossalign.repair.scores.queries_needed` requires, a
    choice between many strengths would be random. Then the projection is used at full strength, or at a smaller one
    only if full strength loses more than one query of a language. Whitening and the common mean are not tried, since
    both can harm and so few queries could not show it.

    :param sample: the documents and queries.
    :param embedder: the model.
    :param sources: their files, for the provenance.
    :param options: see :class:`RepairOptions`.
    :param progress: called while embedding and ranking.
    :raises InputError: if the language means coincide, so that there is nothing to repair, or if a repair would remove
        lengths that matter.
    """
    options = RepairOptions() if options is None else options
    queries_of = Counter(probe.language for probe in sample.probes)
    bound = options.own_first_bound(min(queries_of.values()), parallel=sample.parallel)
    fit_vectors = embedder.encode_documents(
        [document.text for document in sample.fit], progress=_stage(progress, "Embedding documents to fit on")
    )
    model = embedder.provenance()
    ranked_by = settle_similarity(model, options.similarity)
    lengths = np.linalg.norm(fit_vectors, axis=1)
    check_lengths(ranked_by.similarity, unit=bool((np.abs(lengths - 1) <= _UNIT).all()))
    languages, groups = [document.language for document in sample.fit], [document.group for document in sample.fit]
    pivot = options.pivot or ("en" if "en" in languages else min(languages))
    others = _other_languages(sample, embedder, pivot, progress)
    fitted = fit_language_directions(fit_vectors, languages, groups if sample.parallel else None, others)
    collection = judged_collection(sample.held_out, sample.probes, sources)
    documents = embedder.encode_documents(
        collection.documents.texts, progress=_stage(progress, "Embedding held-out documents")
    )
    queries = embedder.encode_queries(collection.queries.texts, progress=_stage(progress, "Embedding queries"))
    collection = _with_vectors(collection, documents, queries)
    query_counts = {tag: queries_of[tag] for tag in collection.query_languages}
    fewest = min(query_counts.values())
    enough = fewest >= queries_needed(options.tolerance)
    # Only maps for each language, and margins, need them.
    each = sample.parallel and not options.one_map and (enough or bound is not None)
    queries_to_fit_on = _short_queries(sample, embedder, progress) if each else None
    held_out = _held_out(collection, ranked_by)
    if sample.parallel:
        score = held_out_score(held_out)
        criterion = "mean Max@R over the query languages, pool of all languages"
    else:
        score = _distance_of_means(collection, ranked_by)
        criterion = "mean distance between the language means of the held-out documents"
    score = _counted(score, progress)
    # A loss smaller than one query cannot be observed.
    tolerances = {tag: max(options.tolerance, 0 if enough else 1 / count) for tag, count in query_counts.items()}
    choice = _choose(fitted, score, options, tolerances, bound, enough=enough, parallel=sample.parallel)
    notes = list(sample.notes)
    apart = without_counterpart(languages, groups, pivot) if sample.parallel and not options.one_map else []
    if apart:
        notes.append(f"one map for all languages: no document to fit on in {', '.join(apart)} is parallel to {pivot}")
    elif enough and sample.parallel and not options.one_map:
        fitted_on = (fit_vectors, languages, groups)
        try:
            choice = choose_language_maps(
                choice, fitted_on, score, pivot=pivot, tolerance=options.tolerance,
                keep_own_first=bound, other_means=fitted.other_means, queries=queries_to_fit_on,
            )  # fmt: skip
        except BetweenOthersError as error:  # for example two scripts of one language
            notes.append(f"one map for all languages: of {error.seen}, {error.problem}")
    leave_one_out = LeaveOneOut(
        fitted, fit_vectors, languages, groups if sample.parallel else None, others,
        held_out if sample.parallel else None, pivot, options.seed, queries_to_fit_on,
    )  # fmt: skip
    dialer = DialMeasure(leave_one_out.build, score, tolerances, bound, query_counts)
    choice = dialer.refine(choice) if enough else choice
    if sample.parallel and not options.one_map:
        choice = MarginSearch(leave_one_out.build, score, tolerances, bound).refine(choice)
    wanted = choice.chosen
    choice, left_out = leave_one_out.choose(choice)
    dial = dialer.measure(choice)
    moved = _with_vectors(collection, choice.repair.apply(documents), choice.repair.apply(queries))
    chosen = {
        "tolerance": options.tolerance,
        "keep_own_first": bound,
        "seed": options.seed,
        "samples": options.samples,
    }
    before = _audit(collection, model, chosen, options, ranked_by, progress)
    repaired = {**model, "name": f"{model.get('name', 'model')}, repaired"}
    after = _audit(moved, repaired, chosen, options, ranked_by, progress)
    harm = same_language_harm(before, after, options.tolerance)
    notes += own_first_notes(choice, tolerances, bound) + recognition_notes(choice.repair, held_out)
    notes += choice_notes(choice, harm, options.tolerance, fewest, enough=enough, parallel=sample.parallel)
    unknown = () if others is None else others.unknown
    skipped, changes = choice.chosen is not wanted, choice.chosen.changes
    worse = [one for one in leave_one_out.measure(wanted) if one.worse] if skipped and not changes else []
    notes += protection_notes(fitted, left_out, unknown, skipped=skipped, changes=changes, worse=worse)
    comparison = compare_results(before, after, samples=options.samples, seed=options.seed)
    return RepairOutcome(
        repair=choice.repair,
        fitted=fitted,
        choice=choice,
        criterion=criterion,
        harm=harm,
        before=before,
        after=after,
        comparison=replace(comparison, notes=[*comparison.notes, *notes]),
        sample=sample,
        probe_vectors=documents[:8],
        notes=tuple(notes),
        left_out=left_out,
        unknown=unknown,
        dial=dial,
        keep_own_first=bound,
    )


def _short_queries(sample: RepairSample, embedder: Embedder, progress: Progress | None) -> ShortQueries:
    """Sentences of the documents to fit on, embedded as queries."""
    made = short_queries([document.text for document in sample.fit], [document.language for document in sample.fit])
    vectors = embedder.encode_queries(
        [text for _, text in made], progress=_stage(progress, "Embedding sentences as queries")
    )
    return ShortQueries(vectors, [language for language, _ in made])


def _other_languages(
    sample: RepairSample, embedder: Embedder, pivot: str, progress: Progress | None
) -> OtherLanguages | None:
    """The other languages that the model knows, None for a closed index."""
    if not sample.others:
        return None
    vectors = embedder.encode_documents(
        [document.text for document in sample.others], progress=_stage(progress, "Embedding texts of other languages")
    )
    return known_others(vectors, sample.others, sample.languages, pivot)


def _counted(
    score: Callable[[VectorMap], RepairScore], progress: Progress | None
) -> Callable[[VectorMap], RepairScore]:
    """The same score, with progress; how many maps will be tried depends on what is found."""
    tried = 0

    def counted(repair: VectorMap) -> RepairScore:
        nonlocal tried
        tried += 1
        if progress is not None:
            progress("Trying maps", tried, max(_MAPS, tried + 1))
        return score(repair)

    return counted


def _choose(
    fitted: LanguageDirections,
    score: Callable[[VectorMap], RepairScore],
    options: RepairOptions,
    tolerances: Mapping[str, float],
    bound: float | None,
    *,
    enough: bool,
    parallel: bool,
) -> RepairChoice:
    strengths = tuple(options.strengths)
    if enough:
        shares = options.common_shares if parallel else (0.0,)
        return choose_repair(
            fitted,
            score,
            tolerance=tolerances,
            strengths=strengths,
            common_shares=shares,
            whitenings=options.whitenings if parallel else (None,),
            keep_own_first=bound,
        )
    if bound is not None:
        strengths = tuple(sorted({*strengths, *DIAL}))
    # A loss of the own language in front is counted as it is: the bound was asked for.
    full = choose_repair(
        fitted, score, tolerance=tolerances, strengths=(0.0, max(strengths)), common_shares=(0.0,),
        keep_own_first=bound,
    )  # fmt: skip
    if full.chosen.strength or full.trials[-1].harmless:
        return full
    return choose_repair(
        fitted, score, tolerance=tolerances, strengths=strengths, common_shares=(0.0,),
        keep_own_first=bound,
    )  # fmt: skip


def _with_vectors(
    collection: JudgedCollection, documents: NDArray[np.float32], queries: NDArray[np.float32]
) -> JudgedCollection:
    return replace(
        collection,
        documents=replace(collection.documents, vectors=documents),
        queries=replace(collection.queries, vectors=queries),
    )


def _held_out(collection: JudgedCollection, ranked_by: RankedBy) -> HeldOut:
    documents, queries = collection.documents, collection.queries
    return HeldOut(
        queries=_vectors(queries.vectors),
        query_languages=queries.languages,
        query_groups=[documents.groups[indices[0]] for indices in collection.relevant],
        documents=_vectors(documents.vectors),
        document_languages=documents.languages,
        document_groups=documents.groups,
        similarity=ranked_by.similarity,
    )


def held_out_plan(collection: JudgedCollection) -> list[Scenario]:
    """The pools of the audits before and after: all languages if documents are parallel, and each language separately.

    :param collection: held-out documents and queries.
    """
    pool, query_tags = collection.document_languages, collection.query_languages
    parallel = len(set(collection.documents.groups)) < len(collection.documents)
    names = ("multi", "mono-same") if parallel and len(pool) > 1 else ("mono-same",)
    return plan_scenarios(names, pool, query_tags)


def _distance_of_means(collection: JudgedCollection, ranked_by: RankedBy) -> Callable[[VectorMap], RepairScore]:
    """Score for documents that are not parallel: the bias is the distance between the language means, the quality as
    usual.
    """
    documents = collection.documents
    # Each document forms its own group: the ranks in the mixed pool are computed but not used.
    quality = held_out_score(_held_out(collection, ranked_by))
    tags = collection.document_languages
    rows = [documents.in_languages([tag]) for tag in tags]

    def score(repair: VectorMap) -> RepairScore:
        moved = repair.apply(_vectors(documents.vectors)).astype(np.float64)
        means = [moved[places].mean(axis=0) for places in rows]
        pairs = [(first, second) for first in range(len(tags)) for second in range(first)]
        distance = (
            float(np.mean([np.linalg.norm(means[first] - means[second]) for first, second in pairs])) if pairs else 0.0
        )
        return RepairScore(distance, quality(repair).quality)

    return score


def _audit(
    collection: JudgedCollection,
    model: dict[str, Any],
    chosen: dict[str, Any],
    options: RepairOptions,
    ranked_by: RankedBy,
    progress: Progress | None,
) -> AuditResult:
    return audit_vectors(
        collection,
        held_out_plan(collection),
        provenance=build_provenance(
            "repair",
            describe_data(collection),
            model=model,
            options=chosen,
            seed=options.seed,
            ranked_by=ranked_by,
        ),
        similarity=ranked_by.similarity,
        seed=options.seed,
        samples=options.samples,
        progress=progress,
    )


def same_language_harm(before: AuditResult, after: AuditResult, tolerance: float) -> tuple[LanguageHarm, ...]:
    """Same-language NDCG@1 of each language, before and after, from the rows ``mono-same``.

    :param before: audit before.
    :param after: audit of the same queries after.
    :param tolerance: loss that counts as none.
    """
    harms = []
    for number, row in enumerate(before.rows):
        if row["scenario"] != "mono-same":
            continue
        places = before.row_queries(number)
        values = [[result.queries["measures"]["NDCG@1"][place] for place in places] for result in (before, after)]
        harms.append(harm_of_language(row["query_language"], values[0], values[1], tolerance=tolerance))
    return tuple(harms)


def _vectors(values: NDArray[np.float32] | None) -> NDArray[np.float32]:
    if values is None:
        msg = "the collection has no vectors: embed it first"
        raise ValueError(msg)
    return values


def _stage(progress: Progress | None, stage: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(stage, done, total)

"""What a reader must know about a repair, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from haystack_crossalign.repair.directions import LanguageDirections
from haystack_crossalign.repair.judging.left_out import HEAD_START, MAX_AT_R, LeftOut
from haystack_crossalign.repair.language_maps import LanguageMaps
from haystack_crossalign.repair.matrix_file import VectorMap
from haystack_crossalign.repair.scores import HeldOut, LanguageHarm, queries_needed
from haystack_crossalign.repair.trials import RepairChoice
from haystack_crossalign.report.content.words import difference, difference_interval


def choice_notes(
    choice: RepairChoice,
    harm: Sequence[LanguageHarm],
    tolerance: float,
    fewest: int,
    *,
    enough: bool,
    parallel: bool,
) -> list[str]:
    """Sentences on how far the held-out documents support the choice.

    :param choice: the choice.
    :param harm: same-language retrieval of each language.
    :param tolerance: loss that counts as none.
    :param fewest: queries of the language with the fewest.
    :param enough: whether they suffice to show a loss beyond the tolerance.
    :param parallel: whether held-out documents have versions in other languages.
    """
    warnings = [
        "The held-out documents also chose among the maps, so these figures are slightly optimistic: "
        "audit other documents too."
    ]
    if not parallel:
        warnings.append(
            "The held-out documents have no versions in other languages, so the bias itself was not measured: only "
            "the distance of the languages' means and same-language retrieval were."
        )
    if not enough:
        needed = queries_needed(tolerance)
        enough_words = "no number of queries can" if needed == float("inf") else f"it takes {needed:.0f} queries"
        warnings.append(
            f"The held-out set is too small to show harm: with {fewest} queries in a language a loss of "
            f"{100 * tolerance:g} points of same-language NDCG@1 cannot be ruled out ({enough_words} per language). So "
            "only the projection was tried, and a loss of one query counted as none."
        )
    lost = [change for change in harm if change.verdict != "harmless"]
    warnings += [
        f"Same-language NDCG@1 in {change.language}: {difference('NDCG@1', change.difference, change.queries)}, 95 % "
        f"interval {difference_interval('NDCG@1', change.interval, change.queries)} over {change.queries} queries."
        for change in lost
    ]
    if not choice.chosen.changes:
        warnings.append("No harmless map was better than the model as it is: the repair changes nothing.")
        if parallel and not enough and queries_needed(tolerance) != float("inf"):
            warnings.append(
                f"More documents would help: with {queries_needed(tolerance):.0f} queries per language (twice as many "
                "parallel documents, as half of them are fitted on) the common mean, whitening and a map for each "
                "language are tried too."
            )
    return warnings


def own_first_notes(choice: RepairChoice, tolerance: Mapping[str, float], bound: float | None) -> list[str]:
    """A sentence where the bound on the own language first has made the repair weaker.

    :param choice: the choice.
    :param tolerance: accepted loss of same-language retrieval, for each language.
    :param bound: accepted loss of the own language first, None for any.
    """
    base, chosen = choice.trials[0].score, choice.chosen.score
    if bound is None or base.own_first is None:
        return []
    better = [trial for trial in choice.trials if trial.score.bias < chosen.bias]
    refused = [trial for trial in better if not trial.harmless and trial.score.is_harmless(base, tolerance)]
    if not refused:
        return []
    free = min(refused, key=lambda trial: trial.score.bias).score
    before, after = base.own_first, free.own_first or {}
    tag = max(after, key=lambda language: before[language] - after[language])
    what = " and no map changes it within that" if not choice.chosen.changes else ""
    return [
        f"The repair is weaker than it could be{what}: with any loss accepted (--keep-own-first off) Max@R is "
        f"{free.bias:.1f} in place of {chosen.bias:.1f}, but of the queries in {tag} {100 * after[tag]:.0f} % find "
        f"their own version first, in place of {100 * before[tag]:.0f} %. At most {100 * bound:.3g} points are given "
        "up."
    ]


def recognition_notes(repair: VectorMap, held_out: HeldOut | None) -> list[str]:
    """A sentence on how many texts the map of their own language applies to, as it has to be told from the embedding.

    :param repair: the map.
    :param held_out: held-out embeddings before the repair; None if there are none.
    """
    if not isinstance(repair, LanguageMaps) or held_out is None:
        return []
    shares = [
        (kind, repair.recognized(vectors, languages))
        for kind, vectors, languages in (
            ("documents", held_out.documents, held_out.document_languages),
            ("queries", held_out.queries, held_out.query_languages),
        )
    ]
    parts = []
    for kind, found in shares:
        least = min(found, key=lambda tag: found[tag])
        parts.append(f"all {kind}" if found[least] == 1 else f"{100 * found[least]:.0f} % of the {kind} in {least}")
    return [
        f"The language of a text is told from its embedding. That is right for {' and '.join(parts)} (held-out texts, "
        "the language where it is right least often); the others get the map for all languages."
    ]


def protection_notes(
    fitted: LanguageDirections,
    left_out: Sequence[LeftOut],
    unknown: Sequence[str],
    *,
    skipped: bool,
    changes: bool = True,
    worse: Sequence[LeftOut] = (),
) -> list[str]:
    """Sentences on what protects other languages, what was measured, and for whom retrieval may get worse.

    :param fitted: the directions.
    :param left_out: what was measured.
    :param unknown: other languages that the model does not know.
    :param skipped: whether a better map was skipped because it made a language worse.
    :param changes: whether the map that is left changes anything.
    :param worse: languages that the skipped map made worse, if none is left that changes anything.
    """
    names = " and ".join(fitted.languages) if len(fitted.languages) == 2 else ", ".join(fitted.languages)
    notes = []
    if skipped:
        notes.append("A map with less bias was skipped: it made a language worse that was left out of it.")
    if not changes:
        if worse and all(one.measure == HEAD_START for one in worse):
            notes.append(
                f"It got worse for {', '.join(one.language for one in worse)}, which are not among your documents. If "
                f"the index holds nothing in other languages than {names}, add --closed: then no other language is "
                "protected, and none is left out."
            )
        elif worse:
            notes.append(
                f"It got worse for {', '.join(one.language for one in worse)}; more documents in these and in further "
                "languages may help, --closed does not."
            )
        return notes
    if fitted.others:
        notes.append(
            f"Other languages: the directions of {len(fitted.others)} languages that were not fitted "
            f"({', '.join(fitted.others)}) were removed too, from texts of each."
        )
    else:
        notes.append(
            f"This repair protects no language but {names}: it is for an index that holds no other. In a pool with "
            "documents or queries in another language the bias may get worse, which was not measured."
        )
    told = [_measured(left_out, measure, names) for measure in (MAX_AT_R, HEAD_START)]
    notes += [sentence for sentence in told if sentence]
    if fitted.others and not any(one.measure == MAX_AT_R for one in left_out):
        notes.append(
            f"Retrieval in other languages than {names} was not measured on your documents: leaving out a language "
            "takes documents in three. For a language unlike all of those named here, the bias may get worse."
        )
    if unknown:
        notes.append(
            f"The model does not tell texts in {', '.join(unknown)} apart: nothing protects them, and there is "
            "little to protect."
        )
    return notes


def _measured(left_out: Sequence[LeftOut], measure: str, names: str) -> str:
    found = [one for one in left_out if one.measure == measure]
    if not found:
        return ""
    before, after = (np.mean([getattr(one, side) for one in found]) for side in ("before", "after"))
    if measure == MAX_AT_R:
        what = f"Each of {names} was left out of the fitting in turn: its Max@R in a pool with one of the others"
        figures = (
            f"fell from {before:.1f} to {after:.1f}" if after < before else f"rose from {before:.1f} to {after:.1f}"
        )
    else:
        what = (
            f"Each of the {len(found)} other languages was left out in turn: the head start of unrelated texts in the "
        )
        what += "query's language"
        figures = f"{'fell' if after < before else 'rose'} from {before:.2f} to {after:.2f} standard deviations"
    higher = [one.language for one in found if one.after > one.before]
    if not higher:
        return f"{what} {figures} on average, and in none did it rise."
    return f"{what} {figures} on average; it rose in {', '.join(higher)}, but not beyond chance."

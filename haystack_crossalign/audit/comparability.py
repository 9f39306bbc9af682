"""Whether two results can be compared: notes on different data, and the same queries under the same ids."""

from __future__ import annotations

from collections.abc import Sequence

from haystack_crossalign.audit.result import AuditResult
from haystack_crossalign.errors import InputError
from haystack_crossalign.ranks import similarity_words


def notes_on_data(a: AuditResult, b: AuditResult) -> list[str]:
    """What differs between two results other than their figures, in sentences.

    :param a: the result before.
    :param b: the result after.
    """
    notes = []
    for name, result in (("before", a), ("after", b)):
        if (partial := (result.live or {}).get("partial")) is not None:
            notes.append(f"The result {name} is partial: {partial['queries']} of {partial['of']} queries.")
    hashes = [{file["sha256"] for file in result.provenance["data"]["files"]} for result in (a, b)]
    if hashes[0] != hashes[1]:
        notes.append("The two results were made from different data files.")
    data = [result.provenance["data"] for result in (a, b)]
    levels = [(file.get("judgments") or {}).get("relevance_level", 1) for file in data]
    if levels[0] != levels[1]:
        notes.append(f"A document counts as relevant from grade {levels[0]} before and from grade {levels[1]} after.")
    gains = [file["judgments"]["gain"] for file in data if "judgments" in file]
    if len(set(gains)) > 1:
        notes.append(f"The gains of NDCG are {gains[0]} before and {gains[1]} after.")
    counted = [(result.provenance.get("options") or {}).get("count", "versions") for result in (a, b)]
    if counted[0] != counted[1]:
        notes.append(f"Ranks in lists count {counted[0]} before and {counted[1]} after.")
    if data[0].get("left_out") != data[1].get("left_out"):
        notes.append("Other rows of the files were left out before than after.")
    if a.provenance.get("run") != b.provenance.get("run"):
        notes.append("The two runs differ in their order, in what contradicts it, or in the queries they lack.")
    ranked_by = [(result.provenance.get("similarity") or {}).get("name") for result in (a, b)]
    words = [similarity_words(name) for name in ranked_by if name is not None]
    if len(set(words)) > 1:
        notes.append(f"The two results are ranked by different similarities: {words[0]} before, {words[1]} after.")
    rules = [result.provenance.get("ties", "document id") for result in (a, b)]
    if rules[0] != rules[1] and any(row["ties"]["queries"] for result in (a, b) for row in result.rows):
        notes.append(
            f"The two results order equal scores by different rules ({rules[0]} before, {rules[1]} after), which alone "
            "changes figures within the ties."
        )
    return notes


def check_same_queries(
    title: str,
    a: AuditResult,
    b: AuditResult,
    pairs: Sequence[tuple[int, int]],
    names: tuple[str, str],
    notes: list[str],
) -> None:
    """Equal ids must mean equal queries: reject different texts, note different relevant versions.

    :param title: the row, for messages.
    :param a: the result before.
    :param b: the result after.
    :param pairs: positions of each common query in both.
    :param names: names of the two results, for messages.
    :param notes: list that takes the notes.
    :raises InputError: if a query has another text in each result.
    """
    if "text" in a.queries and "text" in b.queries:
        for first, second in pairs:
            if a.queries["text"][first] != b.queries["text"][second]:
                raise InputError(
                    f"the query '{a.queries['id'][first]}' has another text in each result ({title})",
                    source=f"{names[0]}, {names[1]}",
                    field="queries.text",
                    seen=[a.queries["text"][first], b.queries["text"][second]],
                    allowed="results over the same queries",
                )
    differing = sum(
        sorted(a.queries["versions"][first]) != sorted(b.queries["versions"][second]) for first, second in pairs
    )
    if differing:
        notes.append(f"{title}: {differing} of {len(pairs)} queries have other relevant versions in each result.")

"""The training data of a recipe: files are read and mixed by weight, and a part is held out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from haystack_crossalign.data.corpora.registry import find_corpus
from haystack_crossalign.data.formats.triplets import read_triplets
from haystack_crossalign.data.triplets import (
    UNWANTED,
    Triplet,
    article_of,
    joined,
    normalized,
    require_languages,
    restricted,
    turned,
    with_unique_ids,
)
from haystack_crossalign.errors import InputError
from haystack_crossalign.files.reading import Source
from haystack_crossalign.training.recipe.recipe import Recipe
from haystack_crossalign.training.recipe.sections import HeldOutPart
from haystack_crossalign.triplets.builders import BuiltTriplets
from haystack_crossalign.triplets.corpora import CORPORA, DROPPED, read_drop_list
from haystack_crossalign.triplets.sentences import aligned_sentences, sentence_queries


@dataclass(frozen=True)
class SourceSummary:
    """Summary of a file.

    :param name: name of the file, without its folder.
    :param sha256: hash of its bytes.
    :param format: its format.
    :param triplets: number of triplets used.
    :param languages: number of these by target language.
    :param target_queries: number of target-language queries by language.
    :param left_out: number left out by reason, if any.
    :param licence: licence note, None if the recipe has none.
    """

    name: str
    sha256: str
    format: str
    triplets: int
    languages: dict[str, int]
    target_queries: dict[str, int]
    left_out: dict[str, int]
    licence: str | None = None


@dataclass(frozen=True)
class TrainData:
    """Training and held-out triplets, which share no passage, query or parallel group.

    :param train: with repetitions if a file has a weight above 1.
    :param held_out: without repetitions.
    :param sources: the files.
    :param fit: distinct triplets of ``train`` on whose passages a repair is fitted.
    """

    train: tuple[Triplet, ...]
    held_out: tuple[Triplet, ...]
    sources: tuple[SourceSummary, ...]
    fit: tuple[Triplet, ...]

    def sha256(self) -> str:
        """Hash of all of it."""
        digest = hashlib.sha256()
        for part in (self.train, self.held_out, self.sources, self.fit):
            digest.update(f"{len(part)}\n".encode())
            for entry in part:
                digest.update(f"{entry!r}\n".encode())
        return digest.hexdigest()


def read_train_data(recipe: Recipe, triplets: Sequence[Triplet] | BuiltTriplets | None = None) -> TrainData:
    """Read the files of a recipe and split them.

    :param recipe: the recipe.
    :param triplets: triplets in memory, optionally with counts of what was left out; the recipe's files are added to
        them.
    :raises InputError: for files that cannot be read, or if no training or held-out triplet remains.
    """
    if not recipe.languages:
        raise recipe.error("no target language", ("languages",), allowed="one or more, for instance [zh]")
    read: list[tuple[tuple[Triplet, ...], float, bool]] = []
    summaries: list[SourceSummary] = []
    if triplets is not None:
        given = triplets if isinstance(triplets, BuiltTriplets) else BuiltTriplets(tuple(triplets), {})
        digest = hashlib.sha256()
        for one in given.triplets:
            digest.update(f"{one!r}\n".encode())
        usable = _wanted(given, recipe, None)
        source = Source("triplets in memory", digest.hexdigest())
        summaries.append(_summary(source, "triplets", usable.triplets, usable.left_out, None))
        read.append((usable.triplets, 1.0, True))
    for number, entry in enumerate(recipe.data):
        triplets_read, source = _read(recipe, number)
        usable = _wanted(triplets_read, recipe, entry.languages)
        kept, left_out = usable.triplets, Counter(usable.left_out)
        if entry.aligned_sentences:
            built = aligned_sentences(
                kept, block=entry.block, queries_per_block=entry.queries_per_block, seed=recipe.seed
            )
            kept = built.triplets
            left_out.update(built.left_out)
        if entry.sentence_queries:
            kept += sentence_queries(kept, entry.sentence_queries)
        if entry.limit is not None and len(kept) > entry.limit:
            left_out["above the limit"] = len(kept) - entry.limit
            # A generator per file, so that the limit of one does not affect the draw of another.
            generator = np.random.default_rng([recipe.seed, number])
            kept = _drawn(kept, entry.limit, generator, lambda one: (one.passage,))
        if not kept:
            together = recipe.batch_languages == "all"
            raise recipe.error(
                f"no triplet with {'all wanted target languages' if together else 'a wanted target language'}",
                ("data", number),
                source.name,
                f"{recipe.language} and {'all' if together else 'one'} of "
                f"{', '.join(entry.languages or recipe.languages)}" + ("; or batch_languages: one" if together else ""),
            )
        summaries.append(_summary(source, entry.kind, kept, left_out, entry.licence))
        read.append((kept, entry.weight, entry.fit_repair))
    if not read:
        raise recipe.error("no training data", ("data",), allowed="one or more files")
    pool = with_unique_ids([triplet for part, _, _ in read for triplet in part])
    held_out, apart = hold_out(pool, recipe)
    train: list[Triplet] = []
    fit: list[Triplet] = []
    start = 0
    for number, (part, weight, fits) in enumerate(read):
        own = [triplet for triplet in pool[start : start + len(part)] if triplet.id not in apart]
        start += len(part)
        fit += own if fits else []
        train += own * int(weight)
        rest = round((weight - int(weight)) * len(own))
        again = np.random.default_rng([recipe.seed, number, 1]).permutation(len(own))[:rest]
        train += [own[place] for place in sorted(again.tolist())]
    if len(train) < 2:
        raise _too_few(recipe, len(train), len(pool), len(pool) - len(apart))
    if recipe.start.kind == "repair" and not fit:
        raise recipe.error("no passage is left to fit the repair on", ("data",), "fit_repair: false", "true for a file")
    with recipe.errors_at("languages"):
        require_languages(train, recipe.languages, "is left to train on")
        if recipe.start.kind == "repair":
            require_languages(fit, recipe.languages, "is left to fit the repair on")
    return TrainData(tuple(train), held_out, tuple(summaries), tuple(fit))


def _too_few(recipe: Recipe, left: int, read: int, after: int) -> InputError:
    """The error for fewer than two training triplets, with the key that causes it."""
    problem, part = "fewer than two triplets are left to train on", recipe.held_out
    if read < 2:
        return recipe.error(problem, ("data",), read, "more data")
    if after >= 2:
        return recipe.error(f"{problem}, by the weights of the files", ("data",), left, "larger weights, or more data")
    if part.path is None:
        return recipe.error(problem, ("held_out",), left, "a smaller share, or more data")
    other = "another held-out file, or more data"
    return recipe.error(
        f"{problem}: the others share a passage, a query or their {part.by} with one of the held-out file",
        ("held_out", "by" if part.by == "article" else "path"),
        part.by if part.by == "article" else part.path,
        f"group, groups named article:1 or article#1, or {other}" if part.by == "article" else other,
    )


def _drawn(
    triplets: Sequence[Triplet],
    count: int,
    generator: np.random.Generator,
    keys: Callable[[Triplet], Collection[str]],
) -> tuple[Triplet, ...]:
    """Limit the number of triplets, keeping their order; a key is repeated only after all others were used.

    :param keys: property to draw evenly, such as the passage or the target languages.
    """
    seen: Counter[str] = Counter()
    turns: list[tuple[int, int, int]] = []
    for place in generator.permutation(len(triplets)).tolist():
        own = keys(triplets[place])
        turns.append((min(seen[key] for key in own), len(turns), place))
        seen.update(own)
    return tuple(triplets[place] for place in sorted(place for _, _, place in sorted(turns)[:count]))


def hold_out(pool: Sequence[Triplet], recipe: Recipe) -> tuple[tuple[Triplet, ...], frozenset[str]]:
    """Choose the held-out part.

    :param pool: all triplets, with ids that are unique.
    :param recipe: its ``held_out`` section and seed.
    :returns: the held-out triplets, and the ids of those in ``pool`` that must not be trained on.
    :raises InputError: if the file cannot be read or has no triplets, or if no part can be separated from the rest.
    """
    part = recipe.held_out
    if part.path is None:
        chosen, apart = split_triplets(pool, part, seed=recipe.seed)
        if pool and not chosen and part.share and part.limit:
            raise recipe.error(
                "nothing can be held out: texts that must stay together make up too much of the data",
                ("held_out", "by"),
                f"{part.by}; the first parallel group is {pool[0].group}",
                "group in place of article, groups named article:1 or article#1, or held_out.share: 0",
            )
        return chosen, apart
    read, source = read_triplets(recipe.folder / part.path, language=recipe.language, target_languages=recipe.languages)
    usable = _wanted(BuiltTriplets(read, {}), recipe, None).triplets
    generator = np.random.default_rng([recipe.seed, len(usable)])
    chosen = _drawn(usable, part.limit, generator, lambda one: tuple(one.targets))
    if not chosen:
        raise recipe.error(
            "no triplet with a wanted target language",
            ("held_out", "path"),
            source.name,
            f"{recipe.language} and one of {', '.join(recipe.languages)}",
        )
    keys = {key for triplet in chosen for key in _keys(triplet, part.by)}
    return chosen, frozenset(triplet.id for triplet in pool if not keys.isdisjoint(_keys(triplet, part.by)))


def split_triplets(
    pool: Sequence[Triplet], part: HeldOutPart, *, seed: int
) -> tuple[tuple[Triplet, ...], frozenset[str]]:
    """Draw whole components of triplets that share a passage, a query or a group (or article).

    :param pool: triplets with ids that are unique.
    :param part: share and limit.
    :param seed: of the draw.
    :returns: the held-out triplets in their order, at most ``limit``, and the ids of all triplets of their components.
    """
    if part.share == 0 or part.limit == 0:
        return (), frozenset()
    components = _components([_keys(triplet, part.by) for triplet in pool])
    wanted = min(max(1, round(part.share * len(pool))), part.limit)
    members: dict[int, list[int]] = {}
    for place, name in enumerate(components):
        members.setdefault(name, []).append(place)
    names = list(members)
    chosen: list[int] = []
    for number in np.random.default_rng([seed, len(pool)]).permutation(len(names)).tolist():
        if len(chosen) >= wanted:
            break
        component = members[names[number]]
        # A component much larger than the share is skipped, whatever the draw.
        if len(chosen) + len(component) <= max(1.5 * wanted, wanted + 1):
            chosen += component
    chosen.sort()
    apart = frozenset(pool[place].id for place in chosen)
    return tuple(pool[place] for place in chosen[: part.limit]), apart


def _keys(triplet: Triplet, by: str) -> list[Hashable]:
    group = article_of(triplet.group) if by == "article" else triplet.group
    queries = (triplet.query, *triplet.target_queries.values())
    passages = (triplet.passage, *triplet.targets.values())
    return [
        ("group", group),
        *(("query", normalized(text)) for text in queries),
        *(("passage", normalized(text)) for text in passages),
    ]


def _components(keys: Sequence[Sequence[Hashable]]) -> list[int]:
    """Number of the connected component of each row; rows are connected if they share a key."""
    parent = list(range(len(keys)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    first: dict[Hashable, int] = {}
    for place, row in enumerate(keys):
        for key in row:
            other = root(first.setdefault(key, place))
            parent[root(place)] = other
    return [root(place) for place in range(len(keys))]


def _read(recipe: Recipe, number: int) -> tuple[BuiltTriplets, Source]:
    entry = recipe.data[number]
    path = recipe.folder / entry.path if entry.path is not None else find_corpus(entry.kind, recipe.corpora)
    drop = None if entry.drop is None else recipe.folder / entry.drop
    targets = entry.languages or recipe.languages
    if entry.kind == "triplets":
        triplets, source = read_triplets(path, language=recipe.language, target_languages=targets)
        dropped = frozenset() if drop is None else read_drop_list(drop)
        kept = tuple(triplet for triplet in triplets if triplet.id not in dropped)
        return BuiltTriplets(kept, {DROPPED: len(triplets) - len(kept)}), source
    options: dict[str, Any] = {"drop": drop}
    if entry.kind in ("ntrex", "tico19"):
        options |= {"block": entry.block, "queries_per_block": entry.queries_per_block, "seed": recipe.seed}
    # The corpora have English queries; a recipe in another language turns the triplets round.
    wanted = tuple(dict.fromkeys(tag for tag in (recipe.language, *targets) if tag != "en"))
    built, source = CORPORA[entry.kind](path, wanted, **options)
    kept = turned(built.triplets, recipe.language)
    lacking = {f"without a query in {recipe.language}": len(built.triplets) - len(kept)}
    return BuiltTriplets(kept, {**built.left_out, **(lacking if recipe.language != "en" else {})}), source


def _wanted(built: BuiltTriplets, recipe: Recipe, languages: tuple[str, ...] | None) -> BuiltTriplets:
    """Triplets in the recipe's language, reduced to the requested targets; those without any are left out."""
    tags = [tag for tag in languages or recipe.languages if tag in recipe.languages]
    kept = restricted(built.triplets, recipe.language, tags) if tags else ()
    left_out = {**built.left_out, UNWANTED: len(built.triplets) - len(kept)}
    if not recipe.target_queries:
        kept = tuple(replace(triplet, target_queries={}) for triplet in kept)
    if recipe.batch_languages == "all":
        rows = joined(kept)
        kept = tuple(row for row in rows if len(row.targets) == len(tags))
        left_out["without all languages"] = len(rows) - len(kept)
        # A row has queries either in every language or only in that of its passage.
        partly = [bool(triplet.target_queries) and len(triplet.target_queries) < len(tags) for triplet in kept]
        left_out["target queries without those of the other languages"] = sum(
            len(triplet.target_queries) for triplet, some in zip(kept, partly, strict=True) if some
        )
        kept = tuple(
            replace(triplet, target_queries={}) if some else triplet for triplet, some in zip(kept, partly, strict=True)
        )
    return BuiltTriplets(kept, left_out)


def _summary(
    source: Source, kind: str, triplets: Sequence[Triplet], left_out: Mapping[str, int], licence: str | None
) -> SourceSummary:
    languages = Counter(tag for triplet in triplets for tag in triplet.targets)
    queries = Counter(tag for triplet in triplets for tag in triplet.target_queries)
    return SourceSummary(
        source.name,
        source.sha256,
        kind,
        len(triplets),
        dict(sorted(languages.items())),
        dict(sorted(queries.items())),
        {reason: count for reason, count in left_out.items() if count},
        licence,
    )

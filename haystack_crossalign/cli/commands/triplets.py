"""`crossalign triplets`: training triplets built from corpora, mined, translated, filtered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.groups import with_groups
from haystack_crossalign.cli.shared.terminal import say
from haystack_crossalign.cli.shared.triplet_files import check_triplet_outputs, errors_of, finish, target_tags
from haystack_crossalign.errors import ExternalError, InputError

if TYPE_CHECKING:
    from haystack_crossalign.files.reading import Source

app = typer.Typer(
    help="Make training triplets: build them from parallel texts, mine or translate them, filter them.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Targets = Annotated[str, typer.Option("--languages", metavar="zh,ar,…", help="Target languages.")]
Output = Annotated[Path, typer.Option(metavar="FILE", help="Triplets as JSON Lines.")]
Counts = Annotated[Path | None, typer.Option("--report", metavar="FILE", help="Write the counts as JSON.")]
Language = Annotated[str, typer.Option(metavar="LANGUAGE", help="Language of queries and passages.")]
Corpus = Annotated[
    str | None, typer.Option(metavar="NAME", help="A published corpus: ntrex, tico19, course_sections or squad.")
]
Drop = Annotated[Path | None, typer.Option(metavar="FILE", help="JSON list of ids to leave out of the corpus.")]
Block = Annotated[int, typer.Option(min=2, metavar="N", help="Corpora of sentences: sentences per block.")]
PerBlock = Annotated[int, typer.Option(min=1, metavar="N", help="Corpora of sentences: maximum queries per block.")]
Given = Annotated[
    Path | None,
    typer.Option(
        "--queries",
        metavar="FILE",
        help="Queries: JSON Lines with id, text, language, relevant. Default: headings and first sentences.",
    ),
]
Neighbours = Annotated[int, typer.Option(min=1, metavar="K", help="Neighbors that the margin is computed from.")]
Threshold = Annotated[float, typer.Option(metavar="X", help="Lowest margin of a pair.")]
Repair = Annotated[
    bool, typer.Option("--repair/--no-repair", help="Remove the language directions from the embeddings first.")
]
Pairs = Annotated[Path, typer.Option(metavar="FILE", help="JSON Lines or TSV with query and passage, or triplets.")]
Generator = Annotated[Path, typer.Option(metavar="FILE", help="A Haystack chat generator in YAML.")]
Cache = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="File for all answers, so that a run can continue. Default: OUTPUT.cache.jsonl."),
]
Queries = Annotated[bool, typer.Option("--translate-queries", help="Also translate the queries.")]
Concurrency = Annotated[int, typer.Option(min=1, max=256, metavar="N", help="Requests in parallel.")]
Attempts = Annotated[int, typer.Option(min=1, metavar="N", help="Answers per text before it is dropped.")]
Retries = Annotated[int, typer.Option(min=0, metavar="N", help="Retries of a request after a fault.")]
Backoff = Annotated[float, typer.Option(min=0, metavar="S", help="Seconds before the first retry; then doubled.")]
GiveUp = Annotated[int, typer.Option(min=1, metavar="N", help="Stop after N consecutive texts without an answer.")]
PriceIn = Annotated[float | None, typer.Option(min=0, metavar="X", help="Price of a million tokens sent.")]
PriceOut = Annotated[float | None, typer.Option(min=0, metavar="X", help="Price of a million tokens received.")]
MostCost = Annotated[float | None, typer.Option(min=0, metavar="X", help="Refuse to start above this estimate.")]
EstimateOnly = Annotated[bool, typer.Option("--estimate", help="Print the estimated cost and stop.")]
Factor = Annotated[
    float,
    typer.Option(metavar="X", help="Plausible targets have 1/X to X times the usual length."),
]
Evaluation = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE", help="Evaluation set: drop triplets that share 8 consecutive words with it. Repeatable."
    ),
]
Similar = Annotated[float, typer.Option(metavar="X", help="Near-duplicates share at least this part of their 8-grams.")]
PerQuery = Annotated[int | None, typer.Option(min=1, metavar="N", help="Drop queries of more than N passages.")]
NoDetection = Annotated[bool, typer.Option("--no-language", help="Do not check the languages of the passages.")]
Positives = Annotated[
    str | None,
    typer.Option(metavar="zh,ar,…", help="Languages of the positives after the first, in FlagEmbedding's JSON Lines."),
]


@app.command(name="build", short_help="Build triplets from parallel texts.")
def build(
    languages: Targets,
    output: Output,
    corpus: Corpus = None,
    data: opt.CorporaFolder = None,
    source: Annotated[
        Path | None, typer.Option("--input", metavar="PATH", help="Folder or file of the corpus, instead of --data.")
    ] = None,
    drop: Drop = None,
    block: Block = 4,
    queries_per_block: PerBlock = 1,
    documents: opt.Documents = None,
    queries: opt.QueryFile = None,
    qrels: opt.QrelsIn = None,
    language_field: opt.LanguageField = "language",
    group_field: opt.GroupField = "parallel_id",
    title_field: opt.FileTitleField = None,
    detect_languages: opt.DetectLanguages = False,
    relevance_level: opt.RelevanceLevel = 1,
    language: Language = "en",
    seed: opt.Seed = 0,
    report: Counts = None,
    quiet: opt.Quiet = False,
) -> None:
    """Build triplets from a published corpus (--corpus, in the folder of CROSSALIGN_DATA or --data).

    Or from documents with a group field and their queries (--documents, --queries).
    """
    check_triplet_outputs({"--output": output, "--report": report}, (source, drop, documents, queries, qrels))
    tags, own = target_tags(languages, language)
    if (corpus is None) == (documents is None):
        raise InputError("give either a corpus or documents", allowed="--corpus, or --documents and --queries")
    sources: tuple[Source, ...]
    unread: dict[str, int] = {}
    if corpus is not None:
        from haystack_crossalign.triplets.corpora import CORPORA

        if corpus not in CORPORA:
            raise InputError("unknown corpus", source="--corpus", seen=corpus, allowed=", ".join(CORPORA))
        from haystack_crossalign.data.corpora.registry import find_corpus

        place = source or find_corpus(corpus, data)
        for option, value in (("--queries", queries), ("--qrels", qrels), ("--language", own)):
            if value not in (None, "en"):
                raise InputError("cannot be used with --corpus, which has its own", source=option, seen=value)
        blocks = {"block": block, "queries_per_block": queries_per_block, "seed": seed}
        built, one = CORPORA[corpus](place, tags, drop=drop, **(blocks if corpus in ("ntrex", "tico19") else {}))
        sources = (one,)
    else:
        for option, file in (("--input", source), ("--data", data), ("--drop", drop)):
            if file is not None:
                raise InputError("only works with --corpus", source=option, seen=file)
        if queries is None:
            raise InputError(
                "no queries of the documents", source="--queries", allowed="a file of queries, or triplets mine"
            )
        from haystack_crossalign.api.collection import read_files
        from haystack_crossalign.api.requests import FilesRequest
        from haystack_crossalign.data.reading_log import ReadingLog
        from haystack_crossalign.triplets.builders import triplets_from_collection

        request = FilesRequest(
            documents=documents, queries=queries, qrels=qrels, language_field=language_field, group_field=group_field,
            title_field=title_field, relevance_level=relevance_level, detect_languages=detect_languages,
        )  # fmt: skip
        collection = read_files(request, log=ReadingLog())
        built = triplets_from_collection(collection, tags, language=own)
        unread = {f"{omission.what}, {omission.reason}": omission.count for omission in collection.omissions}
        sources = tuple(collection.sources)
    from haystack_crossalign.data.triplets import require_languages, with_unique_ids

    reasons = ", ".join(f"{name}: {count}" for name, count in built.left_out.items() if count)
    use = f"can be built (left out, {reasons})" if reasons else "can be built"
    require_languages(built.triplets, tags, use, source="--languages")
    counts = {f"with {tag}": sum(tag in triplet.targets for triplet in built.triplets) for tag in tags}
    triplets = with_unique_ids(built.triplets)
    more = {"left out": {**unread, **built.left_out}}
    finish("build", output, report, triplets, sources, {"triplets": len(triplets), **counts}, more, quiet=quiet)


@app.command(name="mine", short_help="Mine translation pairs from a collection that has none.")
@with_groups(without=("similarity",))
def mine(
    *,
    documents: Annotated[
        Path, typer.Option(metavar="FILE", help="Documents: JSON Lines with id, text, language, and title.")
    ],
    languages: Targets,
    output: Output,
    queries: Given = None,
    model: opt.ModelFlags,
    language: Language = "en",
    language_field: opt.LanguageField = "language",
    title_field: opt.FileTitleField = None,
    detect_languages: opt.DetectLanguages = False,
    neighbours: Neighbours = 4,
    threshold: Threshold = 1.02,
    repair: Repair = True,
    report: Counts = None,
    quiet: opt.Quiet = False,
) -> None:
    """Mine translation pairs (mutual nearest neighbors above a margin) and build triplets from those with a query.

    The query of a document is its heading, or its first sentence, unless --queries gives others.
    """
    from haystack_crossalign.cli.shared.progress import Stages

    check_triplet_outputs({"--output": output, "--report": report}, (documents, queries, model.embedder))
    model.check()
    tags, own = target_tags(languages, language)
    from haystack_crossalign.data.formats.detected import detect_rows
    from haystack_crossalign.data.formats.jsonl import document_rows
    from haystack_crossalign.data.formats.read import title_field_of
    from haystack_crossalign.files.reading import TextFile
    from haystack_crossalign.languages import UNDETERMINED
    from haystack_crossalign.mining.triplets import (
        mine_triplets,
        read_given_queries,
    )

    titles = title_field_of(title_field)
    file = TextFile(documents)
    detected = detect_rows(
        document_rows(
            file, language_field=language_field, title_field=titles,
            default_language=UNDETERMINED if detect_languages else None,
        )
    )  # fmt: skip
    read = list(detected.rows)
    sources, given_queries = [file.source], None
    if queries is not None:
        given_queries, query_source = read_given_queries(queries, read, language=own)
        sources.append(query_source)
    encoder = model.open()
    with Stages(show=not quiet) as progress:
        mined = mine_triplets(
            read, encoder, tags, language=own, queries=given_queries, neighbours=neighbours, threshold=threshold,
            repair=repair, progress=progress,
        )  # fmt: skip
    if not quiet:
        from haystack_crossalign.report.content.model import model_lines

        for line in (*model_lines({"model": encoder.provenance()}), *filter(None, [detected.note])):
            typer.echo(line, err=True)
    if not mined.triplets:
        pairs = ", ".join(f"{name}: {value}" for name, value in mined.counts.items())
        raise InputError(
            "no pair was found",
            source="--threshold",
            seen=f"{threshold:g}; {pairs}",
            allowed="a lower one, or documents with queries",
        )
    margins = {"mean margin": {tag: round(value, 4) for tag, value in mined.margins.items()}}
    compared_by = encoder.provenance().get("similarity", "cosine")
    if compared_by != "cosine" and not quiet:
        typer.echo(
            "crossalign: the margin of a pair is a ratio of cosines, so pairs are mined by cosine, although the model "
            f"says {compared_by}",
            err=True,
        )
    finish("mine", output, report, mined.triplets, sources, mined.counts, margins, quiet=quiet)


@app.command(name="translate", short_help="Translate (query, passage) pairs by a chat model.")
def translate(
    pairs: Pairs,
    languages: Targets,
    generator: Generator,
    output: Output,
    trust_remote_code: opt.TrustRemoteCode = False,
    cache: Cache = None,
    language: Language = "en",
    translate_queries: Queries = False,
    concurrency: Concurrency = 4,
    attempts: Attempts = 3,
    retries: Retries = 5,
    backoff: Backoff = 1.0,
    give_up_after: GiveUp = 5,
    length_factor: Factor = 2.5,
    price_input: PriceIn = None,
    price_output: PriceOut = None,
    max_cost: MostCost = None,
    estimate_only: EstimateOnly = False,
    report: Counts = None,
    quiet: opt.Quiet = False,
) -> None:
    """Translate the passages of pairs by any Haystack chat generator.

    Answers that are empty, in the wrong language or of implausible length are requested again, then dropped. Every
    answer is stored on disk, so that a killed run can continue.
    """
    from haystack_crossalign.cli.shared.progress import Stages

    store = cache or output.with_name(f"{output.name}.cache.jsonl")
    check_triplet_outputs({"--output": output, "--report": report, "--cache": store}, (pairs, generator))
    tags, own = target_tags(languages, language)
    if max_cost is not None and price_input is None and price_output is None:
        raise InputError(
            "a limit on the cost needs prices", source="--max-cost", allowed="--price-input, --price-output"
        )
    from haystack_crossalign.data.formats.triplets import read_pairs
    from haystack_crossalign.triplets.translation.cache import TranslationCache
    from haystack_crossalign.triplets.translation.chat_generator import read_generator
    from haystack_crossalign.triplets.translation.prompt import estimate
    from haystack_crossalign.triplets.translation.translate import (
        TranslationOptions,
        open_requests,
        requests_of,
        translate_pairs,
    )

    options = TranslationOptions(
        concurrency, attempts, retries, backoff, give_up_after=give_up_after, length_factor=length_factor,
        queries=translate_queries,
    )  # fmt: skip
    read, origin = read_pairs(pairs, language=own)
    component = read_generator(generator, trust_remote_code=trust_remote_code)
    with TranslationCache(store) as answers:
        wanted = requests_of(read, tags, queries=translate_queries)
        expected = estimate(
            open_requests(wanted, component, answers, options), price_input=price_input, price_output=price_output
        )
        cost = "" if expected.cost is None else f", about {expected.cost:.2f} at the given prices"
        if not quiet or estimate_only:
            say(
                f"To translate: {expected.requests:,} of {len(wanted):,} texts, about {expected.input_tokens:,} tokens "
                f"to send and {expected.output_tokens:,} to receive{cost}"
            )
        if estimate_only:
            return
        if max_cost is not None and (expected.cost or 0.0) > max_cost:
            cost_seen = round(expected.cost or 0.0, 2)
            raise InputError(
                "the estimate is above the limit", source="--max-cost", seen=cost_seen, allowed=f"at most {max_cost}"
            )
        with Stages(show=not quiet) as progress:
            done = translate_pairs(
                read, tags, component, answers, options=options,
                progress=lambda part, total: progress("translating", part, total),
            )  # fmt: skip
    if not done.triplets:
        raise ExternalError(
            f"no pair got a translation; rejected: {dict(done.rejected)}, dropped: {dict(done.dropped)}"
        )
    more = {"rejected": dict(done.rejected), "dropped": dict(done.dropped)}
    finish("translate", output, report, done.triplets, [origin], done.counts, more, quiet=quiet)


@app.command(name="filter", short_help="Drop bad triplets, counted by reason.")
def filter_(
    source: Annotated[Path, typer.Option("--input", metavar="FILE", help="Triplets: .jsonl, .tsv or .parquet.")],
    output: Output,
    evaluation: Evaluation = None,
    length_factor: Factor = 2.5,
    near_duplicates: Similar = 0.8,
    passages_per_query: PerQuery = None,
    no_language: NoDetection = False,
    language: Language = "en",
    languages: Positives = None,
    report: Counts = None,
    quiet: opt.Quiet = False,
) -> None:
    """Drop targets in the wrong language or of implausible length, near-duplicates, overlap with an evaluation set."""
    check_triplet_outputs({"--output": output, "--report": report}, (source, *(evaluation or ())))
    from haystack_crossalign.data.formats.triplets import read_triplets
    from haystack_crossalign.triplets import filters as make
    from haystack_crossalign.triplets.targets import evaluation_texts, filter_targets, find_evaluation_files

    with errors_of("--length-factor"):
        plausible = make.length_ratio(length_factor)
    with errors_of("--near-duplicates"):
        # Two nearly equal passages would be false negatives of each other.
        distinct = make.near_duplicates(near_duplicates, across_groups=True)
    tags = () if languages is None else target_tags(languages, language)[0]
    triplets, origin = read_triplets(source, language=language, target_languages=tags)
    judged = find_evaluation_files(evaluation or ())
    chosen = []
    if not no_language:
        from haystack_crossalign.text.detection import LanguageDetector

        detector = LanguageDetector()
        chosen.append(
            make.language_mismatch(
                lambda texts: [each.language for each in detector.detect(texts)], detectable=detector.languages
            )
        )
    chosen += [plausible, distinct]
    if passages_per_query is not None:
        chosen.append(make.ambiguous_queries(passages_per_query))
    texts, sources = evaluation_texts(judged.read)
    if judged.read:
        chosen.append(make.evaluation_overlap(texts))
    left = filter_targets(triplets, chosen)
    if not left.triplets:
        reasons = ", ".join(f"{name}: {count}" for name, count in left.dropped.items() if count)
        raise InputError(
            "no triplet is left", source=source, seen=f"dropped {reasons}", allowed="other data or filters"
        )
    counts = {
        "triplets read": len(triplets),
        "targets read": sum(len(triplet.targets) for triplet in triplets),
        "triplets": len(left.triplets),
        "targets": sum(len(triplet.targets) for triplet in left.triplets),
    }
    more: dict[str, Any] = {
        "dropped": dict(left.dropped),
        "dropped by language": left.languages,
        "examples": left.examples,
    }
    if judged.skipped:
        more["evaluation files not read"] = [str(path) for path in judged.skipped]
    finish("filter", output, report, left.triplets, [origin, *sources], counts, more, quiet=quiet)

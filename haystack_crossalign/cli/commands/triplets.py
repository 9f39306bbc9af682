"""`crossalign triplets`: training triplets built from corpora, mined, translated, filtered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from haystack_crossalign.cli.commands.triplets_build import build
from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.groups import with_groups
from haystack_crossalign.cli.shared.terminal import say
from haystack_crossalign.cli.shared.triplet_files import (
    Counts,
    Language,
    Output,
    Targets,
    check_triplet_outputs,
    errors_of,
    finish,
    target_tags,
)
from haystack_crossalign.errors import ExternalError, InputError

app = typer.Typer(
    help="Make training triplets: build them from parallel texts, mine or translate them, filter them.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Given = Annotated[
    Path | None,
    typer.Option(
        "--queries",
        metavar="FILE",
        help="Queries: JSON Lines with id, text, language, relevant. Default: headings and first sentences.",
    ),
]
TitleField = Annotated[
    str | None,
    typer.Option(
        "--title-field",
        metavar="NAME",
        help="Field of documents that is put before their text, and is their query unless --queries gives others; '' "
        "for none. Default: title.",
    ),
]
Neighbours = Annotated[int, typer.Option(min=1, metavar="K", help="Neighbors that the margin is computed from.")]
Threshold = Annotated[float, typer.Option(metavar="X", help="Lowest margin of a pair.")]
Repair = Annotated[
    bool, typer.Option("--repair/--no-repair", help="Remove the language directions from the embeddings first.")
]
Pairs = Annotated[
    Path, typer.Option(metavar="FILE", help="JSON Lines, TSV or Parquet with query and passage, or triplets.")
]
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
        metavar="PATH",
        help="Files or folders of an evaluation set: drop targets that share 8 consecutive words with it. Repeatable.",
    ),
]
Similar = Annotated[float, typer.Option(metavar="X", help="Near-duplicates share at least this part of their 8-grams.")]
PerQuery = Annotated[int | None, typer.Option(min=1, metavar="N", help="Drop queries of more than N passages.")]
NoDetection = Annotated[bool, typer.Option("--no-language", help="Do not check the languages of the passages.")]
Positives = Annotated[
    str | None,
    typer.Option(metavar="zh,ar,…", help="Languages of the positives after the first, in FlagEmbedding's JSON Lines."),
]


app.command(name="build", short_help="Build triplets from parallel texts.")(build)


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
    model: opt.FileModelFlags,
    language: Language = "en",
    language_field: opt.LanguageField = "language",
    title_field: TitleField = None,
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
    with Stages(show=not quiet) as progress:
        encoder = model.open()
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

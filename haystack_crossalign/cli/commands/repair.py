"""`crossalign repair`: remove the language bias of a model, or of the vectors of an index, without training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from haystack_crossalign.cli.shared import live_options as live
from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.groups import with_groups
from haystack_crossalign.cli.shared.outputs import Outputs
from haystack_crossalign.cli.shared.own_first import own_first_bound
from haystack_crossalign.errors import InputError

if TYPE_CHECKING:
    from haystack_crossalign.api.model_options import ModelOptions
    from haystack_crossalign.cli.shared.progress import Stages
    from haystack_crossalign.files.reading import Source
    from haystack_crossalign.opensearch.connection.settings import LiveSettings
    from haystack_crossalign.repair.fit import RepairOutcome
    from haystack_crossalign.repair.texts import RepairTexts

Parallel = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Parallel documents (JSON Lines with id, text, language, parallel_id) or triplets."
    ),
]
Tagged = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Documents that need not be parallel (id, text, language): fit on these instead."
    ),
]
HeldOut = Annotated[
    Path | None,
    typer.Option("--held-out", metavar="FILE", help="Parallel documents to judge on. Default: half of the others."),
]
OtherLanguages = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Documents (id, text, language) in languages that the repair must not harm. Default: twelve texts in each "
        "of 32 languages that ship with this package.",
    ),
]
Closed = Annotated[
    bool, typer.Option("--closed", help="The index holds no other languages: protect none that is not fitted.")
]
Output = Annotated[Path, typer.Option(metavar="DIR", help="Folder to create.")]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="NAME",
        help="auto, documents, triplets, or a corpus: ntrex, tico19, course_sections, squad; xquad, belebele, mlqa, "
        "flores are for evaluation.",
    ),
]
Block = Annotated[
    int | None,
    typer.Option(
        min=2,
        metavar="N",
        help="Sentences per block of ntrex and tico19: one is the query, the others are the document. Fewer give more "
        "documents. Default: 4.",
    ),
]
Languages = Annotated[
    str | None,
    typer.Option(
        metavar="en,zh,…",
        help="Languages to repair; the first (default English) keeps the shared map. Default: all in the data.",
    ),
]
Tolerance = Annotated[
    float, typer.Option(metavar="X", help="Loss of same-language NDCG@1 that is accepted; 0.005 is half a point.")
]
KeepOwnFirst = Annotated[
    str | None,
    typer.Option(
        "--keep-own-first",
        metavar="X|off",
        help="Loss that is accepted, in any language, of the share of queries whose first hit is relevant and in their "
        "own language; 0.02 is two points, off accepts any. Default: 0.1, or one query where that is more.",
    ),
]
MatrixOnly = Annotated[
    bool, typer.Option("--matrix-only", help="Write only the matrix for vectors in an index, no model.")
]
OneMap = Annotated[
    bool, typer.Option("--one-map", help="Use one affine map for all languages; do not try a map for each language.")
]
Limit = Annotated[int, typer.Option(min=5, metavar="N", help="Documents per language to fit on, in whole groups.")]
HeldOutLimit = Annotated[
    int, typer.Option(min=5, metavar="N", help="Documents per language to judge on, in whole groups.")
]


@with_groups()
def repair(
    *,
    output: Output,
    parallel: Parallel = None,
    tagged: Tagged = None,
    held_out: HeldOut = None,
    other_languages: OtherLanguages = None,
    closed: Closed = False,
    file_format: Format = "auto",
    block: Block = None,
    place: live.IndexFlags,
    index_fields: live.FieldFlags,
    title_field: opt.TitleField = None,
    login: live.LoginFlags,
    timeout: live.Timeout = None,
    patience: live.PatienceSeconds = None,
    accept_model: live.AcceptModel = False,
    model: opt.ModelFlags,
    languages: Languages = None,
    detect_languages: opt.DetectLanguages = False,
    tolerance: Tolerance = 0.005,
    keep_own_first: KeepOwnFirst = None,
    matrix_only: MatrixOnly = False,
    one_map: OneMap = False,
    fit_limit: Limit = 800,
    held_out_limit: HeldOutLimit = 500,
    seed: opt.Seed = 0,
    samples: opt.Samples = 1000,
    report: opt.ReportFile = None,
    markdown: opt.MarkdownFile = None,
    no_texts: opt.NoTexts = False,
    quiet: opt.Quiet = False,
) -> None:
    """Repair a model without training, in seconds to minutes, from 10 to 50 documents in two or more languages.

    The directions in which the languages differ are projected out of the embeddings. The strength is chosen on held-out
    documents, so that same-language retrieval is not harmed. DIR gets the repaired model, the matrix that converts
    vectors already in an index, and audits before and after. With --index the documents are drawn from a live index,
    which is only read, and the model is that of the index.
    """
    from haystack_crossalign.cli.shared.progress import Stages
    from haystack_crossalign.files.writing import check_new_folder, write_atomically

    check_new_folder(output, source="--output")
    outputs = Outputs(report=report, markdown=markdown)
    outputs.check([parallel, tagged, held_out, other_languages, model.embedder, place.config])
    model.check()
    settings = None
    if parallel is None and held_out is None and (place.given or tagged is not None):
        problem = "is for a file of documents, and the index has none"
        if not place.given:
            problem = "is for files of parallel documents, and --tagged is none"
        for option, value in (("--block", block), ("--format", None if file_format == "auto" else file_format)):
            if value is not None:
                raise InputError(
                    problem, source=option, seen=value,
                    allowed=f"the command without {option}, or --held-out FILE with it",
                )  # fmt: skip
    if place.given:
        if parallel is not None or tagged is not None:
            option = "--parallel" if parallel is not None else "--tagged"
            raise InputError(f"{option} and --index exclude each other", allowed="an index, or files")
        settings = live.live_settings(
            place, index_fields, login,
            title_field=title_field, timeout=timeout, patience=patience,
            model=model.model, query_prefix=model.query_prefix, document_prefix=model.document_prefix,
        )  # fmt: skip
    else:
        live.refuse_live(
            vars(login) | vars(place)
            | {"embedding_field": index_fields.embedding_field, "content_field": index_fields.content_field}
            | {"language_map": index_fields.language_map, "timeout": timeout, "patience": patience}
            | {"accept_model": accept_model},
            purpose="a repair from an index",
        )  # fmt: skip
    if settings is None and parallel is None and tagged is None:
        raise InputError(
            "no documents", allowed="--parallel FILE, --tagged FILE where none are parallel, or --index NAME"
        )
    if model.embedder is not None and not matrix_only:
        raise InputError(
            "an embedder of a pipeline cannot be written as a model", source="--embedder", allowed="with --matrix-only"
        )
    chosen, compared_by = _languages(languages), model.compared_by
    from haystack_crossalign.repair.options import RepairOptions
    from haystack_crossalign.repair.other_languages import read_other_languages

    others = read_other_languages(other_languages, closed=closed)
    # Before any large file is read: a wrong number should not be found last.
    pivot = chosen[0] if chosen else None
    if not 0 <= tolerance <= 1:
        raise InputError("out of range", source="--tolerance", seen=tolerance, allowed="0 to 1, such as 0.005")
    options = RepairOptions(
        tolerance=tolerance,
        keep_own_first=own_first_bound(keep_own_first),
        one_map=one_map,
        pivot=pivot,
        seed=seed,
        samples=samples,
        similarity=compared_by,
    )

    def read(path: Path | None, kind: str, *, fitted: bool, versions: bool = False) -> RepairTexts | None:
        from haystack_crossalign.data.formats.read import title_field_of
        from haystack_crossalign.repair.texts import read_repair_texts

        if path is None:
            return None
        texts = read_repair_texts(
            path,
            kind=kind,
            language=chosen[0] if chosen else "en",
            target_languages=chosen[1:],
            language_field=index_fields.language_field or "language",
            group_field=index_fields.group_field or "parallel_id",
            title_field=title_field_of(title_field),
            parallel=versions,
            detect=detect_languages,
            block=block if kind == file_format else None,
        )
        if not chosen:
            return texts
        missing = [tag for tag in chosen if tag not in texts.languages]
        if missing and fitted:
            raise InputError(
                f"no document in '{missing[0]}'", source=path, field="language",
                seen=", ".join(texts.languages), allowed="--languages with some of these",
            )  # fmt: skip
        return texts.in_languages(chosen)

    texts = (
        read(parallel, file_format, fitted=tagged is None, versions=True),
        read(tagged, "documents", fitted=True),
        read(held_out, file_format, fitted=False),
    )
    from haystack_crossalign.models.names import DEFAULT_MODEL
    from haystack_crossalign.repair.fit import fit_repair
    from haystack_crossalign.repair.output import open_model, write_repair
    from haystack_crossalign.repair.sample import make_sample

    encoder: Any
    remarks: list[str] = []
    with Stages(show=not quiet) as progress:
        if settings is None:
            name, encoder = model.model or DEFAULT_MODEL, model.open()
        else:
            per_language = fit_limit + (0 if held_out is not None else held_out_limit)
            drawn = _from_index(settings, model, chosen, per_language, seed, progress,
                                detect=detect_languages, accept=accept_model)  # fmt: skip
            texts, name, encoder, remarks = (drawn.parallel, drawn.tagged, texts[2]), *drawn.model
        sample = make_sample(*texts, others=others, fit_limit=fit_limit, held_out_limit=held_out_limit, seed=seed)
        sample = replace(sample, notes=(*sample.notes, *remarks))
        sources: list[Source] = [source for part in (*texts, others) if part is not None for source in part.sources]
        base = (
            None
            if matrix_only
            else open_model(
                name,
                encoder.prompts,
                similarity=compared_by,
                pooling=model.pooling,
                trust_remote_code=model.trust_remote_code,
            )
        )
        outcome = fit_repair(sample, encoder, sources=sources, options=options, progress=progress)
        outcome = write_repair(outcome, output, model=base, sources=sources, texts=not no_texts)
    # Copies for pipelines that collect reports.
    for target, name in ((outputs.report, "report.html"), (outputs.markdown, "report.md")):
        if target is not None:
            write_atomically(target, (output / name).read_text(encoding="utf-8"))
    if not quiet:
        _print(outcome, output, matrix_only=matrix_only, index=None if settings is None else settings.index)


@dataclass(frozen=True)
class _Drawn:
    """What is taken from an index: documents, of one of the two kinds, and the model with its name and remarks."""

    parallel: RepairTexts | None
    tagged: RepairTexts | None
    model: tuple[str, Any, list[str]]


def _from_index(
    settings: LiveSettings,
    model: ModelOptions,
    languages: tuple[str, ...],
    per_language: int,
    seed: int,
    progress: Stages,
    *,
    detect: bool,
    accept: bool,
) -> _Drawn:
    from haystack_crossalign.api.index_model import check_model_of, model_in_use, open_model_of
    from haystack_crossalign.api.index_texts import index_repair_texts, opened_index

    with live.connected(settings) as client, opened_index(client, settings) as index:
        texts, parallel = index_repair_texts(
            index, per_language=per_language, languages=languages, seed=seed, detect=detect,
            progress=lambda done, total: progress("Reading documents", done, total),
        )  # fmt: skip
        name, encoder, remarks = model_in_use(client, settings, model), open_model_of(client, settings, model), []
        if index.view.fields.has_vectors:
            remarks = check_model_of(index.view, encoder, settings, seed=seed, accept=accept)
    return _Drawn(texts if parallel else None, None if parallel else texts, (name, encoder, remarks))


def _languages(names: str | None) -> tuple[str, ...]:
    from haystack_crossalign.languages import normalize_language

    chosen = [normalize_language(name, source="--languages") for name in opt.split_names(names) or ()]
    return tuple(dict.fromkeys(chosen))


def _print(outcome: RepairOutcome, output: Path, *, matrix_only: bool, index: str | None) -> None:
    from rich.table import Table

    from haystack_crossalign.cli.shared.terminal import console
    from haystack_crossalign.models.names import MATRIX_FILE
    from haystack_crossalign.repair.language_maps import describe_map
    from haystack_crossalign.report.content.model import model_lines
    from haystack_crossalign.report.content.provenance import similarity_note
    from haystack_crossalign.report.content.words import difference_interval

    out = console()
    table = Table(title="Held-out documents, before and after", title_justify="left", box=None, pad_edge=False)
    for name in (
        "Queries in",
        "Number",
        "Max@R",
        "Complete@10",
        "Own first",
        "Same-language NDCG@1",
        "95 % interval",
        "",
    ):
        table.add_column(name, justify="left" if name in ("Queries in", "") else "right")
    mixed = {row["query_language"]: row["measures"] for row in outcome.comparison.rows if row["scenario"] == "multi"}
    for harm in outcome.harm:
        measures = mixed.get(harm.language, {})
        table.add_row(
            harm.language,
            str(harm.queries),
            *(
                _change(name, measures.get(name), harm.queries)
                for name in ("Max@R", "Complete@10", "Top1[relevant,same]")
            ),
            _change("NDCG@1", {"a": harm.before, "b": harm.after}, harm.queries),
            difference_interval("NDCG@1", harm.interval, harm.queries),
            harm.verdict,
        )
    out.print(table)
    trial = outcome.choice.chosen
    counts = zip(outcome.fitted.languages, outcome.fitted.counts, strict=True)
    fitted = ", ".join(f"{count} in {tag}" for tag, count in counts)
    lines = [
        f"Documents fitted on: {fitted}. The repair: {describe_map(trial.setting)}.",
        *model_lines(outcome.before.provenance),
        similarity_note(outcome.before.provenance),
        *(f"Note: {note}" for note in outcome.notes),
        f"Wrote {output}: {'' if matrix_only else 'the model, '}matrix.safetensors, repair.json, report.html",
    ]
    if trial.changes:
        lines.append(
            "To move the vectors of an index: "
            f"crossalign upgrade --index {index or 'NAME'} --matrix {output / MATRIX_FILE}"
        )
    for line in lines:
        out.print(line, soft_wrap=True, highlight=False, markup=False)


def _change(name: str, values: Mapping[str, Any] | None, queries: int) -> str:
    """A measure before and after; a dash where it is undefined, such as Complete@10 of eleven versions."""
    from haystack_crossalign.report.content.words import DASH, measure_value

    if not values or None in (values["a"], values["b"]):
        return DASH
    return " → ".join(measure_value(name, values[side], queries) for side in ("a", "b"))

"""Options shared by several commands, each declared once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from haystack_crossalign.api.model_options import ModelOptions
from haystack_crossalign.api.requests.judged import Measured
from haystack_crossalign.cli.shared.outputs import Outputs
from haystack_crossalign.errors import InputError
from haystack_crossalign.models.names import DEFAULT_MODEL

if TYPE_CHECKING:
    from haystack_crossalign.audit.gate import Condition

Documents = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Documents: JSON Lines with id, text, language, parallel_id, …")
]
QueryFile = Annotated[
    Path | None,
    typer.Option(
        "--queries", metavar="FILE", help="Queries: JSON Lines with id, text, language, relevant; or TSV with --qrels."
    ),
]
DocumentVectors = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Vectors of --documents, a row each, in their order: a numpy table (.npy), .fbin or a column in .parquet.",
    ),
]
QueryVectors = Annotated[Path | None, typer.Option(metavar="FILE", help="Vectors of --queries, likewise.")]
QrelsIn = Annotated[Path | None, typer.Option("--qrels", metavar="FILE", help="Relevant documents as TREC qrels.")]
Workbench = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Relevant documents as a judgment list of OpenSearch's Search Relevance Workbench."
    ),
]
Beir = Annotated[Path | None, typer.Option(metavar="DIR", help="Instead of those files: a folder in BEIR's format.")]
Split = Annotated[str, typer.Option(metavar="NAME", help="With --beir: name of the qrels.")]
LanguageField = Annotated[str, typer.Option(metavar="NAME", help="Field that holds the language.")]
GroupField = Annotated[str, typer.Option(metavar="NAME", help="Field that versions of one content share.")]
QueryLanguage = Annotated[str | None, typer.Option(metavar="LANGUAGE", help="Language of queries without one.")]
ExpandGroups = Annotated[
    bool, typer.Option("--expand-groups", help="All versions of a relevant document are relevant too.")
]
RelevanceLevel = Annotated[
    int, typer.Option(min=1, metavar="N", help="Lowest grade of a relevant document; NDCG uses all grades as gains.")
]
SkipInvalid = Annotated[
    bool,
    typer.Option(
        "--skip-invalid",
        help="Leave out and count invalid rows, judgments of documents that are not in the pool, and queries "
        "without judgment or to which the whole pool is relevant, instead of stopping at the first.",
    ),
]
TitleField = Annotated[
    str | None,
    typer.Option(
        "--title-field",
        metavar="NAME",
        help="Field of documents that is put before their text; '' for none. Default: title; none with --index.",
    ),
]
FileTitleField = Annotated[
    str | None,
    typer.Option(
        "--title-field",
        metavar="NAME",
        help="Field of documents that is put before their text; '' for none. Default: title.",
    ),
]
_MODEL = "Model: a hub name, a local folder, or offline:multilingual-e5-small (a 4-bit copy, extra 'offline')"
Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"{_MODEL}; with --index also cluster:ID, a model inside the cluster. Default: {DEFAULT_MODEL}; with "
        "--index that of the profile, or else the one that the index states.",
    ),
]
FileModel = Annotated[str | None, typer.Option("--model", metavar="NAME", help=f"{_MODEL}. Default: {DEFAULT_MODEL}.")]
EmbedderFile = Annotated[
    Path | None,
    typer.Option(
        "--embedder",
        metavar="FILE",
        help="Instead of --model: a Haystack pipeline in YAML with one text embedder and one document embedder.",
    ),
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        help="Run code that comes with a model or that a YAML file asks for. Use it only for code that you trust.",
    ),
]
LocalFilesOnly = Annotated[
    bool, typer.Option("--local-files-only", help="Never ask the model hub: only models that are on this machine.")
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="auto|bf16|fp32",
        help="Precision of the model: auto chooses bf16 if the processor is faster with it.",
    ),
]
Backend = Annotated[
    str,
    typer.Option(
        metavar="torch|openvino",
        help="What computes the model: torch, or OpenVINO on a CPU (extra openvino).",
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(min=8, metavar="N", help="Truncate texts after N tokens. Default: the limit of the model."),
]
SimilarityName = Annotated[
    str | None,
    typer.Option(
        "--similarity",
        metavar="cosine|dot|euclidean|manhattan",
        help="Similarity that documents are ranked by; not for an audit of an index. Default: that of the model; "
        "cosine for vectors in files.",
    ),
]
QueryPrefix = Annotated[
    str | None,
    typer.Option(
        "--query-prefix", metavar="TEXT", help="Text put before every query, instead of the model's own prompt."
    ),
]
DocumentPrefix = Annotated[
    str | None,
    typer.Option(
        "--document-prefix", metavar="TEXT", help="Text put before every document, instead of the model's own prompt."
    ),
]
QueryPrompt = Annotated[
    str | None,
    typer.Option("--query-prompt", metavar="NAME", help="Name of the model's prompt to use for queries."),
]
DocumentPrompt = Annotated[
    str | None,
    typer.Option("--document-prompt", metavar="NAME", help="Name of the model's prompt to use for documents."),
]
PoolingName = Annotated[
    str | None,
    typer.Option(
        "--pooling",
        metavar="mean|cls|lasttoken",
        help="For a model without modules.json: how token vectors are pooled into one. Default: mean.",
    ),
]
Languages = Annotated[
    str | None,
    typer.Option(metavar="en,zh,…", help="Languages of the pool and of the queries. Default: all in the data."),
]
DetectLanguages = Annotated[
    bool,
    typer.Option(
        "--detect-languages",
        help="Detect the language of documents and queries without one. Unclear ones are counted, not guessed.",
    ),
]
Pairs = Annotated[
    str | None,
    typer.Option(metavar="LANGUAGE", help="Instead of one pool: a pool of LANGUAGE and X for every other language X."),
]
ScenarioNames = Annotated[
    str,
    typer.Option(
        "--scenario",
        metavar="multi,mono-same,mono-cross",
        help="Pools to search: all languages, only the language of the query, or only one other language.",
    ),
]
MeasureNames = Annotated[
    str | None,
    typer.Option("--measures", metavar="NAMES", help="Comma-separated measures, e.g. 'Max@R,Complete@10,nDCG@10'."),
]
Samples = Annotated[int, typer.Option(min=100, metavar="N", help="Bootstrap samples behind each interval.")]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="Seed of all random draws.")]
FailOn = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-on",
        metavar="CONDITION",
        help="Exit with 1 if a condition holds, e.g. 'Max@R_norm<80%', 'Max@R_norm[zh]<0.8', "
        "'mono-same:NDCG@1<90%'. Repeatable.",
    ),
]
TIES = ("pessimistic", "expected", "optimistic", "order")
"""`haystack_crossalign.audit.gate.TIE_CHOICES`, without importing the gate for the help."""

Ties = Annotated[
    str,
    typer.Option(
        metavar="|".join(TIES),
        help="With --fail-on, if ties leave a range for a measure: use the worse end of the range, the mean "
        "over all orders, the better end, or the order of the result.",
    ),
]
FailIfWorse = Annotated[
    Path | None,
    typer.Option(
        "--fail-if-worse-than",
        metavar="LAST.json",
        help="Exit with 1 if a measure is significantly worse than in an earlier result: Max@R_norm, Complete@10, "
        "NDCG@10 and Top1[relevant,same], or those of --measures.",
    ),
]
Stamp = Annotated[
    str | None,
    typer.Option(
        "--stamp",
        metavar="TIME|now",
        help="Time of the result (ISO 8601), for `crossalign history`. Without it, the JSON holds no time.",
    ),
]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON.")]
RunFile = Annotated[
    Path | None, typer.Option("--run", metavar="FILE", help="Write the ranking of the first scenario as a TREC run.")
]
RunDepth = Annotated[int, typer.Option(min=1, metavar="N", help="Documents per query in the TREC run.")]
QrelsFile = Annotated[
    Path | None, typer.Option("--qrels-out", metavar="FILE", help="Write the relevant documents as TREC qrels.")
]
ReportFile = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Write the report as one self-contained HTML page.")
]
MarkdownFile = Annotated[
    Path | None, typer.Option("--markdown", metavar="FILE", help="Write a summary in Markdown, for pull requests.")
]
JunitFile = Annotated[
    Path | None,
    typer.Option("--junit", metavar="FILE", help="Write what --fail-on and --fail-if-worse-than found as JUnit XML."),
]
MetricsFile = Annotated[
    Path | None,
    typer.Option(
        "--metrics", metavar="FILE", help="Write the figures as OpenMetrics, for the textfile collector of Prometheus."
    ),
]
NdjsonFile = Annotated[
    Path | None,
    typer.Option(
        "--ndjson",
        metavar="FILE",
        help="Write one document per row for a results index, as a body for OpenSearch's _bulk. Needs --stamp.",
    ),
]
NoTexts = Annotated[
    bool,
    typer.Option(
        "--no-texts", help="Leave texts and titles of documents and queries out of the outputs; ids and links stay."
    ),
]
CorporaFolder = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder of the published corpora. Default: that of CROSSALIGN_DATA."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors.")]
GateQuiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and the gate.")]


@dataclass(frozen=True, kw_only=True)
class ModelFlags(ModelOptions):
    """The options of a model: `ModelOptions`, with the help for each."""

    model: Model = None
    embedder: EmbedderFile = None
    precision: Precision = "auto"
    backend: Backend = "torch"
    max_tokens: MaxTokens = None
    similarity: SimilarityName = None
    query_prefix: QueryPrefix = None
    document_prefix: DocumentPrefix = None
    query_prompt: QueryPrompt = None
    document_prompt: DocumentPrompt = None
    pooling: PoolingName = None
    trust_remote_code: TrustRemoteCode = False
    local_files_only: LocalFilesOnly = False


@dataclass(frozen=True, kw_only=True)
class FileModelFlags(ModelFlags):
    """The same for commands that read files only."""

    model: FileModel = None


@dataclass(frozen=True, kw_only=True)
class AuditFlags:
    """Options of every audit: what to measure, the conditions of the gate, and what to write."""

    scenario: ScenarioNames = "multi"
    measures: MeasureNames = None
    fail_on: FailOn = None
    ties: Ties = TIES[0]
    fail_if_worse_than: FailIfWorse = None
    stamp: Stamp = None
    seed: Seed = 0
    samples: Samples = 1000
    json_file: JsonFile = None
    report: ReportFile = None
    markdown: MarkdownFile = None
    junit: JunitFile = None
    run: RunFile = None
    run_depth: RunDepth = 100
    qrels_out: QrelsFile = None
    metrics: MetricsFile = None
    ndjson: NdjsonFile = None
    no_texts: NoTexts = False
    quiet: GateQuiet = False

    @property
    def outputs(self) -> Outputs:
        """The files to write."""
        return Outputs(
            self.json_file,
            self.run,
            self.qrels_out,
            self.report,
            self.markdown,
            self.junit,
            self.metrics,
            self.ndjson,
        )

    def conditions(self, lists: Sequence[str] = ()) -> list[Condition]:
        """The conditions of --fail-on.

        :param lists: names of lists that conditions may use.
        :raises InputError: for an invalid condition, an unknown choice of --ties, or one without a condition.
        """
        if self.ties not in TIES:
            raise InputError("unknown choice", source="--ties", seen=self.ties, allowed=", ".join(TIES))
        if not self.fail_on and self.ties != TIES[0]:
            raise InputError("is for conditions", source="--ties", allowed="--fail-on CONDITION with it")
        from haystack_crossalign.audit.gate import parse_condition

        return [parse_condition(text, ties=self.ties, lists=lists) for text in self.fail_on or ()]

    def measured(self, languages: str | None, pairs: str | None, lists: Sequence[str] = ()) -> Measured:
        """What is measured, including the gate's measures.

        :param languages: of --languages.
        :param pairs: of --pairs.
        :param lists: names of lists that conditions may use.
        :raises InputError: for an unknown measure, or none.
        """
        names = split_names(self.measures)
        if names is not None and not names:
            raise InputError(
                "no measure", source="--measures", seen=self.measures, allowed="names such as Max@R, Complete@10"
            )
        conditions = self.conditions(lists)
        measured = Measured(
            scenarios=split_names(self.scenario) or (),
            languages=split_names(languages),
            pairs=pairs,
            measures=names,
            samples=self.samples,
            seed=self.seed,
        )
        try:
            chosen = measured.chosen_measures
        except InputError as error:
            raise InputError(error.problem, source="--measures", seen=error.seen, allowed=error.allowed) from error
        if not conditions:
            return replace(measured, measures=chosen)
        from haystack_crossalign.measures import parse_measure

        return replace(measured, measures=chosen, also=[parse_measure(condition.measure) for condition in conditions])


def split_names(value: str | None) -> tuple[str, ...] | None:
    """Split a comma-separated option; None stays None. Commas inside brackets belong to the name."""
    if value is None:
        return None
    parts, depth, current = [], 0, ""
    for character in value:
        depth += (character == "[") - (character == "]")
        if character == "," and not depth:
            parts.append(current.strip())
            current = ""
        else:
            current += character
    parts.append(current.strip())
    return tuple(part for part in parts if part)

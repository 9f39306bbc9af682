"""A retraining job: read, mine, filter, train, audit, gate, publish; safe to repeat, to run twice and to kill."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from haystack_crossalign._version import __version__
from haystack_crossalign.audit.run import Progress
from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.formats.triplets import read_triplets, write_triplets
from haystack_crossalign.data.triplets import Triplet, with_unique_ids
from haystack_crossalign.errors import CrossAlignError, InputError
from haystack_crossalign.files.reading import Source, source_of
from haystack_crossalign.files.writing import write_atomically
from haystack_crossalign.report.pages import comparison_pages
from haystack_crossalign.retrain.audit import (
    Judgment,
    audit_collection,
    audit_model,
    check_gate,
    evaluation_files,
    judge,
)
from haystack_crossalign.retrain.config import JobConfig, job_names
from haystack_crossalign.retrain.data import (
    check_groups,
    check_overlap,
    filter_triplets,
    mined_triplets,
    read_files,
    triplets_from_documents,
)
from haystack_crossalign.retrain.model import JobModel, job_recipe, open_base, repair_job, train_job
from haystack_crossalign.retrain.outcome import GateFailedError, Record, status_of
from haystack_crossalign.retrain.store import ModelStore, version_name
from haystack_crossalign.signals import import_model_libraries
from haystack_crossalign.training.packages import need_training_packages
from haystack_crossalign.training.recipe.sections import HeldOutPart
from haystack_crossalign.training.train_data import read_train_data, split_triplets
from haystack_crossalign.triplets.targets import EvaluationFiles

OUTCOME = "outcome.json"
REPORT = "report.html"

_STATE = "state.json"
_HOURS = 24
"""A killed run is continued within this time; later its data are too old, and the next run starts over."""


def run_job(
    job: JobConfig,
    *,
    environ: Mapping[str, str],
    outcome_file: Path | None = None,
    progress: Progress | None = None,
    trust_remote_code: bool = False,
) -> Record:
    """Run a job.

    The outcome is always written to ``outcome.json`` in the folder of the models, except if another run is active or
    the folder cannot be written; then only to ``outcome_file``.

    :param job: the configuration.
    :param environ: the environment, for the connection to an index.
    :param outcome_file: an additional file for the outcome.
    :param progress: called while the run works.
    :returns: the record of the run.
    :param trust_remote_code: run code that comes with a model.
    :raises GateFailedError: if the model is not good enough; nothing is published.
    :raises AnotherRunActiveError: if another run is active.
    :raises CrossAlignError: for wrong input and outside faults.
    """
    store = ModelStore(job.file(job.models).resolve())
    more = [] if outcome_file is None else [outcome_file]
    with ExitStack() as stack:
        try:
            stack.enter_context(store.locked())
        except CrossAlignError as error:
            # The folder of the models is locked by another run, or cannot be written.
            Record(job.name, more).write(status_of(error), str(error))
            raise
        record = Record(job.name, [store.folder / OUTCOME, *more])
        with record.written():
            _Run(job, store, record, environ, progress, trust_remote_code).go()
        return record


def note_wrong_job(path: Path, overrides: Sequence[str], outcome_file: Path | None, error: CrossAlignError) -> None:
    """Write the outcome of a job with an invalid configuration to ``outcome_file`` and, if its models exist and no
    other run is active, to their folder, so that an earlier success does not look like the last outcome.

    :param path: the configuration.
    :param overrides: values that override it.
    :param outcome_file: an additional file for the outcome.
    :param error: the error.
    """
    files = [] if outcome_file is None else [outcome_file]
    name, models = job_names(path, overrides)
    with ExitStack() as stack:
        if models is not None and models.is_dir():
            with suppress(CrossAlignError):
                stack.enter_context(ModelStore(models).locked())
                files.append(models / OUTCOME)
        Record(name or path.stem, files).write(status_of(error), str(error))


@dataclass
class _Run:
    """A run, with its steps in order."""

    job: JobConfig
    store: ModelStore
    record: Record
    environ: Mapping[str, str]
    progress: Progress | None
    trust_remote_code: bool = False
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def output(self) -> Path:
        return self.store.model

    @cached_property
    def evaluation(self) -> EvaluationFiles:
        return evaluation_files(self.job)

    def go(self) -> None:
        if self._published_already():
            return
        model = replace(job_recipe(self.job), trust_remote_code=self.trust_remote_code)
        if self.job.method == "train":
            need_training_packages()
        import_model_libraries()
        resumed = self._begin(model)
        train, held_out, sources = self._data(model, resumed=resumed)
        collection = audit_collection(self.job, train, held_out, sources)
        check_gate(self.job.gate, collection)
        self._model(model, train, sources, resumed=resumed)
        judgment, digest = self._audit(model, collection)
        with self.record.step("gate") as details:
            details["failures"] = list(judgment.failures)
            if judgment.failures:
                shutil.rmtree(self.store.work, ignore_errors=True)
                raise GateFailedError("not published: " + "; ".join(judgment.failures))
        self._publish(digest)

    def _published_already(self) -> bool:
        """Finish publishing for a run that was killed between the two renames."""
        self.state = self._stored_state()
        version = self.state.get("publishing")
        if version is None or not (self.store.folder / version).is_dir() or not self._young():
            return False
        if self.store.latest() not in (self.state.get("instead_of"), version):
            return False  # another version has been chosen meanwhile
        written = json.loads((self.store.folder / version / "job" / OUTCOME).read_text(encoding="utf-8"))
        self.record.steps += written["steps"]
        self.record.facts |= {
            name: written[name] for name in ("version", "model", "same_language", "improvement", "gate")
        }
        with self.record.step("publish") as details:
            details["of_an_earlier_run"] = True
            self.store.point_to(version)
            self._tidy(details)
        return True

    def _begin(self, model: JobModel) -> bool:
        """Continue a killed run or start over; returns which."""
        recipe = None if model.recipe is None else model.recipe.to_dict()
        digest = self.job.digest(recipe, __version__, self._file_hashes(model))
        version = self.state.pop("publishing", None)
        gone = version is not None and (self.store.folder / version).is_dir()  # published and later removed
        if self.state.get("digest") == digest and self._young() and not gone:
            return True
        self.store.clean()
        self.state = {"digest": digest, "started": time.time(), "done": []}
        self._keep_state()
        return False

    def _file_hashes(self, model: JobModel) -> list[str]:
        """Hashes of all inputs that must be equal to continue a killed run."""
        names = [self.job.file(entry.path) for entry in self.job.source.files] if self.job.source else []
        if model.recipe is not None:
            entries = model.recipe.data if self.job.source is None else ()
            paths = [*(entry.path for entry in entries), *(entry.drop for entry in entries), model.recipe.held_out.path]
            names += [model.recipe.folder / name for name in paths if name is not None]
        if Path(model.name).is_dir():
            names += sorted(path for path in Path(model.name).rglob("*") if path.is_file())
        return [source_of(path).sha256 for path in (*names, *self.evaluation.read)]

    def _data(
        self, model: JobModel, *, resumed: bool
    ) -> tuple[tuple[Triplet, ...], tuple[Triplet, ...], tuple[Source, ...]]:
        if self.job.source is None:
            if model.recipe is None:
                raise InputError("nothing to read", source=self.job.path, field="source")
            with self.record.step("read") as details:
                data = read_train_data(model.recipe)
                details |= {"triplets": len(data.train), "held_out": len(data.held_out), "from": "the recipe"}
                details["left_out"] = {source.name: source.left_out for source in data.sources if source.left_out}
                check_overlap(data.train, self.evaluation.read, self.job.path)
            return data.train, data.held_out, tuple(Source(source.name, source.sha256) for source in data.sources)
        files = self._data_files()
        if resumed and "data" in self.state["done"]:
            self.record.skip("read", "done by the run that this one continues")
            read = [read_triplets(path)[0] for path in files]
            return read[0], read[1], tuple(Source(**one) for one in self.state["sources"])
        train, held_out, sources = self._read(model)
        for path, triplets in zip(files, (train, held_out), strict=True):
            write_triplets(path, triplets)
        self.state["done"].append("data")
        self.state["sources"] = [{"name": source.name, "sha256": source.sha256} for source in sources]
        self._keep_state()
        return train, held_out, sources

    def _read(self, model: JobModel) -> tuple[tuple[Triplet, ...], tuple[Triplet, ...], tuple[Source, ...]]:
        job, source = self.job, self.job.source
        if source is None:
            raise InputError("nothing to read", source=job.path, field="source")
        with self.record.step("read") as details:
            data = read_files(job, source.files, model.language, model.languages)
            documents, sources = data.documents, list(data.sources)
            if source.index is not None:
                from haystack_crossalign.retrain.index import read_index

                texts, details["index"] = read_index(
                    source.index, job.path.parent, self.environ, mined=job.mine is not None, seed=job.seed
                )
                if job.mine is None:
                    name, group = details["index"]["index"], source.index.group_field or "the group field"
                    check_groups(texts.passages, f"index {name}", group, data.groups)
                documents = replace(documents, passages=(*documents.passages, *texts.passages))
                sources += texts.sources
            left_out = Counter(data.left_out)
            mined: tuple[Triplet, ...] = ()
            if job.mine is None:
                built = triplets_from_documents(documents, model.language, model.languages)
                mined = built.triplets
                left_out.update(built.left_out)
            details |= {
                "documents": len(documents.passages),
                "triplets": len(data.triplets),
                "left_out": {reason: count for reason, count in left_out.items() if count},
            }
        if job.mine is not None:
            with self.record.step("mine") as details:
                mined, counted = mined_triplets(documents, model.language, model.languages, job.mine, open_base(model))
                details |= counted
        with self.record.step("filter") as details:
            triplets = (*data.triplets, *mined)
            kept, dropped = filter_triplets(with_unique_ids(triplets), job.filters, self.evaluation.read)
            # If files judge, all of these are trained on.
            part = HeldOutPart(share=job.audit.share if job.audit.documents is None else 0, limit=job.audit.limit)
            held_out, apart = split_triplets(kept, part, seed=job.seed)
            train = tuple(triplet for triplet in kept if triplet.id not in apart)
            if self.evaluation.skipped:
                details["evaluation_not_read"] = [path.name for path in self.evaluation.skipped]
            details |= {"read": len(triplets), "dropped": dropped, "train": len(train), "held_out": len(held_out)}
            if len(train) < 2:
                raise InputError(
                    "nothing is left to train on",
                    source=job.path,
                    field="source",
                    seen=f"{len(triplets)} triplets, from documents in "
                    f"{', '.join(documents.languages) or 'no language'}; dropped: {dropped}",
                    allowed=f"parallel texts in {', '.join((model.language, *model.languages))}",
                )
        return train, held_out, tuple(sources)

    def _model(
        self,
        model: JobModel,
        train: Sequence[Triplet],
        sources: Sequence[Source],
        *,
        resumed: bool,
    ) -> None:
        step = self.job.method
        if resumed and "model" in self.state["done"] and self.output.is_dir():
            self.record.skip(step, "done by the run that this one continues")
            return
        with self.record.step(step) as details:
            if step == "repair":
                details |= repair_job(self.job, model, self.output, train, sources, progress=self.progress)
            else:
                data = None if self.job.source is None else self._data_files()[0]
                details |= train_job(
                    self.job,
                    model,
                    self.output,
                    data,
                    lock=self.store.launched,
                    resume=resumed,
                    progress=self.progress,
                )
        self.state["done"].append("model")
        self._keep_state()

    def _audit(self, model: JobModel, collection: JudgedCollection) -> tuple[Judgment, str]:
        from haystack_crossalign.models.encoder import Encoder

        with self.record.step("audit") as details:
            base = open_base(model)
            encoder = Encoder(str(self.output), trust_remote_code=self.trust_remote_code)
            before = audit_model(collection, base, self.job, progress=self.progress)
            after = audit_model(collection, encoder, self.job, progress=self.progress)
            published, latest = None, self.store.latest()
            if self.job.gate.must_beat_latest and latest is not None and (self.store.folder / latest).is_dir():
                before_it = Encoder(str(self.store.folder / latest), trust_remote_code=self.trust_remote_code)
                published = audit_model(collection, before_it, self.job, progress=self.progress)
                details["compared_with"] = latest
            judgment = judge(before, after, self.job, published=published)
            details |= {"queries": len(collection.queries), "documents": len(collection.documents)}
            self.record.facts |= judgment.facts()
            described = encoder.provenance()
            self.record.facts["model"] = {"base": base.provenance(), "sha256": described["sha256"]}
            folder = self.output / "job"
            folder.mkdir(exist_ok=True)
            pages = comparison_pages(judgment.comparison.to_dict(), before.to_dict(), after.to_dict())
            texts = {
                "before.json": judgment.before.to_json(),
                "after.json": judgment.after.to_json(),
                "comparison.json": judgment.comparison.to_json(),
                **pages,
            }
            # Also for a model that is not published, since the report shows why.
            write_atomically(self.store.folder / REPORT, pages[REPORT])
            for name, text in texts.items():
                write_atomically(folder / name, text)
        return judgment, str(described["sha256"])

    def _publish(self, digest: str) -> None:
        version, time_of = version_name(self.record.started, digest), self.record.started
        while (self.store.folder / version).exists():  # a version of the same second and with the same weights
            time_of += timedelta(seconds=1)
            version = version_name(time_of, digest)
        with self.record.step("publish") as details:
            self.record.facts["version"] = version
            write_atomically(self.output / "job" / OUTCOME, self.record.to_publish())
            self.state |= {"publishing": version, "instead_of": self.store.latest()}
            self._keep_state()
            self.store.publish(self.output, version)
            self.state = {}  # from now on no run may point ``latest`` here again
            self._keep_state()
            self._tidy(details)

    def _tidy(self, details: dict[str, Any]) -> None:
        removed, faults = self.store.prune(self.job.keep)
        self.record.facts["removed_versions"] = removed
        if faults:
            details["not_removed"] = faults
        shutil.rmtree(self.store.work, ignore_errors=True)

    def _data_files(self) -> tuple[Path, Path]:
        return self.store.work / "train.jsonl", self.store.work / "held_out.jsonl"

    def _stored_state(self) -> dict[str, Any]:
        try:
            state = json.loads((self.store.work / _STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return state if isinstance(state, dict) else {}

    def _young(self) -> bool:
        return time.time() - float(self.state.get("started", 0)) < _HOURS * 3600

    def _keep_state(self) -> None:
        write_atomically(self.store.work / _STATE, json.dumps(self.state))

"""Find the languages of a parallel benchmark: in a folder of files, saved `datasets`, on the hub, or in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haystack_crossalign.data.collection import JudgedCollection
from haystack_crossalign.data.corpora.kinds.parallel import ParallelRow, ParallelText, parallel_collection
from haystack_crossalign.errors import ExternalError, InputError
from haystack_crossalign.files.compressed import plain_name
from haystack_crossalign.languages import normalize_language

if TYPE_CHECKING:
    from types import ModuleType

Rows = Iterable[Mapping[str, Any]]
"""Rows as provided by `datasets`: a `Dataset`, or a list of dicts."""

BenchmarkData = str | Path | Mapping[str, Rows]
"""A folder, ``hf:`` and a name on the hub, or rows by language."""

HUB_PREFIX = "hf:"
"""Prefix of names on the Hugging Face hub, so that a mistyped folder never causes a network request."""

# Files that `datasets` writes to the folder of a saved dataset.
_SAVED = ("dataset_info.json", "dataset_dict.json")


@dataclass(frozen=True)
class BenchmarkFormat:
    """The properties in which benchmarks differ.

    :param name: what to call the collection.
    :param prefix: what precedes the language in names of files, folders and configurations.
    :param ending: file name extension.
    :param split: split on the hub and in saved `datasets`.
    :param example: name of a file, for messages.
    :param numbered: see `ParallelText.numbered`.
    :param read_file: reads the file of one language, given its path and its normalized language.
    :param read_rows: converts rows, given the rows, their name for messages, and the language.
    """

    name: str
    prefix: str
    ending: str
    split: str
    example: str
    numbered: bool
    read_file: Callable[[Path, str], ParallelText]
    read_rows: Callable[[Rows, str, str], Iterable[ParallelRow]]

    def language_of(self, stem: str) -> str | None:
        """Normalized language in the name of a file, folder or configuration, None for other names."""
        if not stem.startswith(self.prefix):
            return None
        try:
            return normalize_language(stem.removeprefix(self.prefix))
        except InputError:
            return None


def read_benchmark(
    form: BenchmarkFormat,
    data: BenchmarkData,
    languages: Sequence[str] | None = None,
    *,
    query_languages: Sequence[str] | None = None,
    pool: str = "passages",
) -> JudgedCollection:
    """Read some languages of a parallel benchmark as one judged collection.

    :param form: the benchmark.
    :param data: a folder with a file or a saved dataset for each language, ``hf:`` and a name on the hub, or rows by
        language.
    :param languages: languages of the pool, in any spelling; None for all of the data's.
    :param query_languages: languages of the queries, among those of the pool; None for all.
    :param pool: "passages" (each distinct passage once) or "questions" (a copy for each question).
    :raises InputError: for data that cannot be read or is not parallel, and for missing languages.
    :raises ExternalError: if the hub cannot be reached.
    """
    places = _places(form, data)
    chosen = sorted(places) if languages is None else _chosen("languages", languages, places)
    query_tags = None if query_languages is None else _chosen("query_languages", query_languages, chosen)
    texts = {language: places[language](language) for language in chosen}
    return parallel_collection(form.name, texts, pool=pool, query_languages=query_tags)


def _chosen(field: str, languages: Sequence[str], known: Iterable[str]) -> list[str]:
    allowed = sorted(known)
    tags = [normalize_language(language, field=field) for language in languages]
    if not tags:
        raise InputError("no language chosen", field=field, allowed=", ".join(allowed))
    for number, (tag, seen) in enumerate(zip(tags, languages, strict=True)):
        if tag not in allowed:
            raise InputError("language without data", field=field, seen=seen, allowed=", ".join(allowed))
        if tag in tags[:number]:
            raise InputError("duplicate language", field=field, seen=seen, allowed="each language once")
    return tags


def _places(form: BenchmarkFormat, data: BenchmarkData) -> dict[str, Callable[[str], ParallelText]]:
    """A reader for each language."""
    if isinstance(data, Mapping):
        return _by_language(form, [_given_rows(form, key, rows) for key, rows in data.items()], "rows")
    if isinstance(data, str) and data.startswith(HUB_PREFIX):
        return _hub_places(form, data.removeprefix(HUB_PREFIX))
    root = Path(data)
    if not root.is_dir():
        allowed = f"a folder with files such as {form.example}, or a name on the hub such as '{HUB_PREFIX}owner/name'"
        problem = "is a file, not a folder" if root.exists() else "no such folder"
        raise InputError(problem, source=root, allowed=allowed)
    places: list[tuple[str, str, Callable[[str], ParallelText]]] = []
    for path in sorted(root.iterdir()):
        saved = path.is_dir() and any((path / name).is_file() for name in _SAVED)
        if not saved and plain_name(path).suffix != form.ending:
            continue
        language = form.language_of(path.name if saved else plain_name(path).name.removesuffix(form.ending))
        if language is not None:
            places.append((language, path.name, _saved_reader(form, path) if saved else _file_reader(form, path)))
    return _by_language(form, places, root)


def _by_language(
    form: BenchmarkFormat, places: list[tuple[str, str, Callable[[str], ParallelText]]], source: str | Path
) -> dict[str, Callable[[str], ParallelText]]:
    names: dict[str, str] = {}
    for language, name, _ in places:
        if language in names:
            raise InputError(
                f"two sets of data for the language '{language}'",
                source=source,
                seen=f"{names[language]}, {name}",
                allowed="one for each language",
            )
        names[language] = name
    if not places:
        raise InputError("no language found", source=source, allowed=f"files such as {form.example}")
    return {language: reader for language, _, reader in places}


def _file_reader(form: BenchmarkFormat, path: Path) -> Callable[[str], ParallelText]:
    return lambda language: form.read_file(path, language)


def _rows_reader(form: BenchmarkFormat, name: str, rows: Callable[[], Rows]) -> Callable[[str], ParallelText]:
    return lambda language: ParallelText.from_rows(form.read_rows(rows(), name, language), name, numbered=form.numbered)


def _given_rows(form: BenchmarkFormat, key: str, rows: Rows) -> tuple[str, str, Callable[[str], ParallelText]]:
    return normalize_language(key, field="languages"), key, _rows_reader(form, key, lambda: rows)


def _saved_reader(form: BenchmarkFormat, path: Path) -> Callable[[str], ParallelText]:
    def load() -> Rows:
        datasets = _import_datasets(path)
        try:
            saved = datasets.load_from_disk(str(path))
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"not a complete saved dataset ({error})", source=path) from error
        if not isinstance(saved, datasets.DatasetDict):
            return saved  # type: ignore[no-any-return]
        if form.split not in saved:
            raise InputError("no such split", source=path, field="split", seen=form.split, allowed=", ".join(saved))
        return saved[form.split]  # type: ignore[no-any-return]

    return _rows_reader(form, path.name, load)


def _hub_places(form: BenchmarkFormat, name: str) -> dict[str, Callable[[str], ParallelText]]:
    datasets = _import_datasets(name)
    try:
        configurations = datasets.get_dataset_config_names(name)
    except (OSError, ValueError) as error:
        msg = f"{name} cannot be loaded from the hub: {error}"
        raise ExternalError(msg) from error

    def loader(configuration: str) -> Callable[[], Rows]:
        def load() -> Rows:
            try:
                return datasets.load_dataset(name, configuration, split=form.split)  # type: ignore[no-any-return]
            except (OSError, ValueError) as error:
                msg = f"{name}, {configuration} cannot be loaded from the hub: {error}"
                raise ExternalError(msg) from error

        return load

    places = [
        (language, configuration, _rows_reader(form, configuration, loader(configuration)))
        for configuration in configurations
        if (language := form.language_of(configuration)) is not None
    ]
    return _by_language(form, places, name)


def _import_datasets(source: str | Path) -> ModuleType:
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            "the package 'datasets' is needed to read this, and is not installed",
            source=source,
            allowed='what `pip install "haystack-crossalign[datasets]"` installs, or a folder of plain files',
        ) from error
    return datasets  # type: ignore[no-any-return]

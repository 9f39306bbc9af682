"""The two ways to new vectors, opened and checked against the index before anything is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haystack_crossalign.errors import InputError
from haystack_crossalign.models.identity import compare_models, describe_model, model_name
from haystack_crossalign.opensearch.model.check import model_in_mapping
from haystack_crossalign.repair.affine import check_lengths
from haystack_crossalign.repair.matrix_file import BASE_MODEL, read_matrix_file
from haystack_crossalign.upgrade.documents.source import Source
from haystack_crossalign.upgrade.documents.vectors import MatrixWay, ModelWay, Way
from haystack_crossalign.upgrade.options import UpgradeOptions

if TYPE_CHECKING:
    from haystack_crossalign.audit.run import Embedder

_RESULT = "repair.json"


@dataclass(frozen=True)
class NewVectors:
    """The source of new vectors.

    :param kind: ``matrix`` or ``model``.
    :param way: computes the vectors.
    :param sha256: hash of the matrix file or of the model's weights.
    :param dimension: of the new vectors.
    :param model: what the new index says of its model.
    :param base: the model that the old index must be of, for a matrix; None if its file names none.
    :param notes: what a user should know.
    :param settings: hash of what else decides the vectors of a model: prompt, tokens, pooling, fields of the text;
        empty for a matrix.
    """

    kind: str
    way: Way
    sha256: str
    dimension: int
    model: dict[str, Any]
    base: dict[str, Any] | None
    notes: tuple[str, ...] = ()
    settings: str = ""

    def describes(self, way: Mapping[str, Any]) -> bool:
        """Whether an upgrade in the ledger makes the same vectors; one of an earlier version names no settings.

        :param way: how that upgrade makes them.
        """
        return bool(way["sha256"] == self.sha256 and way.get("settings", self.settings) == self.settings)


def by_matrix(path: Path | str) -> NewVectors:
    """Transform the vectors of the index.

    :param path: a matrix file written by `repair` or a linear recipe.
    :raises InputError: if it is missing, damaged or not a matrix file.
    """
    from haystack_crossalign.files.digests import file_sha256

    path = Path(path)
    vector_map = read_matrix_file(path)
    digest = file_sha256(path)
    base = _base_model(path, vector_map.metadata)
    model, notes = _moved_model(path, digest, base, vector_map.dimension)
    return NewVectors("matrix", MatrixWay(vector_map), digest, vector_map.dimension, model, base, notes)


def by_model(embedder: Embedder, options: UpgradeOptions) -> NewVectors:
    """Embed all texts again.

    :param embedder: the new model.
    :param options: has the text fields.
    :raises InputError: if the dimension of the embedder cannot be determined.
    """
    made = embedder.encode_documents(["a"])
    provenance = {**embedder.provenance(), "dimension": int(made.shape[1])}
    model = describe_model(provenance)
    digest = str(provenance.get("sha256") or provenance.get("revision") or _digest(model))
    way = ModelWay(embedder, options.content_field, options.title_field)
    prompts = provenance.get("prompts") or {}
    others = {name: provenance.get(name) for name in ("max_tokens", "pooling", "normalized")}
    others |= {"prompt": prompts.get("document"), "fields": [options.title_field, options.content_field]}
    return NewVectors("model", way, digest, int(made.shape[1]), model, None, settings=_digest(others))


def check_fit(source: Source, new: NewVectors, *, accept: bool) -> list[str]:
    """Reject a matrix or model that does not match the index.

    :param source: the index.
    :param new: source of the new vectors.
    :param accept: continue if nothing shows that the index has the base model's vectors.
    :returns: notes.
    :raises InputError: another base model, dimension or normalization; vectors that cannot be read.
    """
    notes = list(new.notes)
    stored = _stored_model(source)
    if new.kind == "matrix":
        if stored is not None and stored.get("matrix") == new.sha256:
            raise InputError("its vectors were moved by this matrix already", source=source.index, seen=new.sha256[:12])
        _check_matrix(source, new)
        if source.hidden:
            raise InputError(
                "is left out of the sources (_source.excludes), so that its vectors cannot be read",
                source=source.index,
                field=", ".join(source.hidden),
                allowed="the way that embeds anew: --model",
            )
        unknown = [
            what
            for what, value in (("the index does not say its model", stored), ("the matrix names no base", new.base))
            if value is None
        ]
        if stored is not None and new.base is not None:
            differences, _ = compare_models(stored, new.base)
            if differences:
                raise InputError(
                    f"the matrix is for vectors of {model_name(new.base)}: {'; '.join(differences)}",
                    source=source.index,
                    field="_meta.crossalign.model",
                    seen=stored.get("name"),
                )
        elif not accept:
            raise InputError(
                f"{' and '.join(unknown)}, so that nothing shows that they belong together",
                source=source.index,
                allowed="--accept-model, if you know it",
            )
        notes += [f"{reason}; accepted as told" for reason in unknown]
    elif stored is not None:
        differences, same = compare_models(stored, new.model)
        if same and not differences:
            notes.append(f"the index is already one of {model_name(new.model)}")
    return notes


def _stored_model(source: Source) -> dict[str, Any] | None:
    return model_in_mapping({"mappings": source.mapping}, source.index, source.vectors[0].name)


def _check_matrix(source: Source, new: NewVectors) -> None:
    for field in source.vectors:
        if field.dimension != new.dimension:
            raise InputError(
                f"holds vectors of {field.dimension} numbers, and the matrix is for vectors of {new.dimension}",
                source=source.index,
                field=field.name,
                allowed=f"a matrix for vectors of {field.dimension} numbers",
            )
        stored = _stored_model(source) or {}
        normalized = stored.get("normalized", (new.base or {}).get("normalized"))
        check_lengths(field.similarity, unit=normalized is not False)


def _base_model(path: Path, metadata: Mapping[str, str]) -> dict[str, Any] | None:
    """The base model stated in the file or, for files of earlier versions, in the result next to it."""
    if BASE_MODEL in metadata:
        try:
            value = json.loads(metadata[BASE_MODEL])
        except ValueError:
            value = None
        if not isinstance(value, dict) or not isinstance(value.get("name"), str):
            raise InputError("describes no model", source=path, field=BASE_MODEL, seen=metadata[BASE_MODEL])
        return value
    beside = path.parent / _RESULT
    if not beside.is_file():
        return None
    try:
        model = json.loads(beside.read_text(encoding="utf-8"))["model"]
        return describe_model(model) if isinstance(model["name"], str) else None
    except (ValueError, KeyError, TypeError):
        return None


def _moved_model(
    path: Path, digest: str, base: Mapping[str, Any] | None, dimension: int
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Description of the new index's model: that of the folder of the matrix, or base model and matrix."""
    kept = {key: base[key] for key in ("prompts",) if base and key in base}
    described: dict[str, Any] = {"dimension": dimension, **kept, "normalized": True}
    described |= {"matrix": digest, **({"base": dict(base)} if base else {})}
    folder = path.parent.resolve()
    if (folder / "modules.json").is_file():
        from haystack_crossalign.models.loading import weights_sha256

        return {"name": folder.name, "sha256": weights_sha256(folder), **described}, ()
    name = f"{base['name'] if base else 'unknown model'} with matrix {digest[:12]}"
    note = f"no model folder beside {path.name}: queries must be embedded with the base model and moved by the matrix"
    return {"name": name, **described}, (note,)


def _digest(model: Mapping[str, Any]) -> str:
    from hashlib import sha256

    return sha256(json.dumps(model, sort_keys=True).encode()).hexdigest()

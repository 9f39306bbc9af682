"""The model of an index's vectors: its description in the mapping, and whether a model matches it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from haystack_crossalign.errors import InputError
from haystack_crossalign.models.identity import DESCRIBED, compare_models, describe_model, model_name
from haystack_crossalign.models.names import DEFAULT_MODEL
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.point_in_time import PointInTime
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.model.fit import fit_model, wrong_dimension

if TYPE_CHECKING:
    from haystack_crossalign.audit.run import Embedder

META_KEY = "crossalign"
"""The key of the mapping's ``_meta`` that is ours; all others belong to somebody else."""

FIELDS_KEY = "fields"
"""Beside the model in ``_meta.crossalign``: vector fields with a model of their own."""

_BITS = "the field holds bits, which no model here makes: the queries have to bring their vectors (embedding)"


@dataclass(frozen=True)
class ModelCheck:
    """Whether a model is that of an index's vectors.

    :param ok: whether nothing contradicts it; also true if nothing could be compared, see `basis`.
    :param findings: sentences on observations and advice; may contain remarks if ``ok`` is true.
    :param cosines: cosines of documents embedded again with their stored vectors, by way of embedding.
    :param basis: basis of the result: the mapping's ``_meta``, documents embedded again, or nothing.
    """

    ok: bool
    findings: tuple[str, ...] = ()
    cosines: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    basis: Literal["mapping", "probe", "none"] = "mapping"

    def require(self) -> ModelCheck:
        """Return this check if it is ok.

        :raises InputError: with the findings if it is not.
        """
        if not self.ok:
            raise InputError(
                "; ".join(self.findings),
                field="model",
                allowed="the model that made the vectors; an audit goes on with --accept-model",
            )
        return self

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; cosines to five decimals."""
        cosines = {name: [round(value, 5) for value in values] for name, values in self.cosines.items()}
        return {"ok": self.ok, "basis": self.basis, "findings": list(self.findings), "cosines": cosines}


def model_in_mapping(mapping: Mapping[str, Any], index: str, vector: str | None = None) -> dict[str, Any] | None:
    """The model described in an index's mapping.

    ``_meta.crossalign.model`` is that of every vector field, except of those that ``_meta.crossalign.fields`` names:
    an upgrade that keeps the old vectors beside the new ones writes there which model made the new ones.

    :param mapping: the index's part of the response to ``GET /<index>/_mapping``.
    :param index: its name, for the message.
    :param vector: the vector field; None for that of the index.
    :raises InputError: if the entry is not a description of a model.
    """
    own = mapping.get("mappings", {}).get("_meta", {}).get(META_KEY)
    model = own.get("model") if isinstance(own, Mapping) else own
    place = f"_meta.{META_KEY}.model"
    fields = own.get(FIELDS_KEY) if isinstance(own, Mapping) else None
    if isinstance(fields, Mapping) and vector in fields:
        model, place = fields[vector], f"_meta.{META_KEY}.{FIELDS_KEY}.{vector}"
    if model is None:
        return None
    if not isinstance(model, Mapping) or not isinstance(model.get("name"), str):
        raise InputError(
            "describes no model",
            source=f"mapping of '{index}'",
            field=place,
            seen=model,
            allowed=f"an object with {', '.join(DESCRIBED)}",
        )
    return dict(model)


def read_index_model(client: ReadOnlyClient, index: str, vector: str | None = None) -> dict[str, Any] | None:
    """The model described in the mapping, as written by `describe_model`.

    :param client: connection.
    :param index: index or alias.
    :param vector: the vector field; None for that of the index.
    :returns: None if the index, or one of several behind an alias, has no description.
    :raises InputError: if the indices behind an alias have different models, or an entry is not a description.
    """
    models = {name: model_in_mapping(mapping, name, vector) for name, mapping in sorted(client.mapping(index).items())}
    named = {name: model for name, model in models.items() if model is not None}
    if not named or len(named) < len(models):
        return None
    first, *others = named.items()
    for name, model in others:
        differences, _ = compare_models(first[1], model)
        if differences:
            raise InputError(
                f"the indices '{first[0]}' and '{name}' were made with different models: {'; '.join(differences)}",
                source=index,
                field=f"_meta.{META_KEY}.model",
            )
    return dict(first[1])


def name_of_model(named: str | None, stored: Mapping[str, Any] | None) -> str:
    """Name of the model that an audit uses: the one asked for, else the index's, else the default.

    :param named: by the user; None if nobody named one.
    :param stored: the description in the mapping, None if there is none.
    """
    return named or str((stored or {}).get("name") or DEFAULT_MODEL)


def check_index_model(
    client: ReadOnlyClient,
    view: IndexView,
    encoder: Embedder,
    *,
    target: str | PointInTime | None = None,
    sample: int = 16,
    seed: int = 0,
    content_field: str = "content",
    title_field: str | None = None,
) -> ModelCheck:
    """Check whether the model in use is that of the index's vectors.

    The description in the mapping decides. If it is missing or only a name, some stored documents are embedded again,
    with the model's document prompt and in other ways, and compared with their stored vectors.

    :param client: connection.
    :param view: index, fields and filter, best at a point in time.
    :param encoder: the model in use.
    :param target: index or alias whose mapping is read; the indices of the view where it is none.
    :param sample: number of documents to embed again.
    :param seed: draws the documents.
    :param content_field: field that holds the text.
    :param title_field: field whose value may be put before the text.
    :raises CrossAlignError: if the index cannot be read.
    """
    if view.fields.vector.data_type == "binary":
        return ModelCheck(False, (_BITS,))
    name = target if isinstance(target, str) else ",".join(view.fields.indices)
    named = read_index_model(client, name, view.fields.vector.name)
    used = describe_model(encoder)
    dimension = used.get("dimension")
    if dimension is not None and dimension != view.fields.vector.dimension:
        return ModelCheck(False, (wrong_dimension(view, model_name(used), int(dimension)),))
    if named is not None:
        differences, same = compare_models(named, used)
        if differences:
            return ModelCheck(False, tuple(_advise(difference) for difference in differences))
        if same:
            return ModelCheck(True)
    fit = fit_model(view, encoder, sample=sample, seed=seed, content_field=content_field, title_field=title_field)
    return ModelCheck(fit.ok, fit.findings, fit.cosines, "probe" if fit.cosines else "none")


def _advise(difference: str) -> str:
    if "prompt" in difference:
        return f"{difference}: use the prompts of the index (--query-prefix, --document-prefix), or reindex"
    return f"{difference}: use the model of the index (--model), or reindex with this one"

"""Whether a model is that of the old index, before its vectors go there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from haystack_crossalign.errors import InputError
from haystack_crossalign.models.identity import compare_models, describe_model
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.model.check import model_in_mapping
from haystack_crossalign.opensearch.model.fit import fit_model
from haystack_crossalign.upgrade.documents.vectors import ModelWay

_SAMPLE = 16


def require_old_model(
    reader: ReadOnlyClient, index: str, field: str, way: ModelWay, *, option: str = "--model"
) -> None:
    """Refuse a model that did not make the vectors of an index.

    What the mapping says decides; where it leaves that open, some documents are embedded again.

    :param reader: connection.
    :param index: the old index.
    :param field: a vector field of it.
    :param way: the model and where the texts stand.
    :param option: what names the model, for the message.
    :raises InputError: another model.
    """
    named = model_in_mapping(reader.mapping(index)[index], index, field)
    same = False
    if named is not None:
        differences, same = compare_models(_of_documents(named), _of_documents(describe_model(way.embedder)))
        if differences:
            raise _not_the_old_one(option, index, differences)
    if not same:
        view = IndexView(reader, index, read_fields(reader, index, vector=field))
        fit = fit_model(
            view, way.embedder, sample=_SAMPLE, seed=0, content_field=way.content_field, title_field=way.title_field
        )
        if not fit.ok:
            raise _not_the_old_one(option, index, fit.findings)


def _not_the_old_one(option: str, index: str, findings: tuple[str, ...]) -> InputError:
    return InputError(
        f"not the model of the old index '{index}': {'; '.join(findings)}",
        source=option,
        allowed=f"the model that made the vectors of '{index}', with its document prompt",
    )


def _of_documents(described: Mapping[str, Any]) -> dict[str, Any]:
    """A description without the prompt of queries, of which none is embedded here."""
    prompts = described.get("prompts")
    if not isinstance(prompts, Mapping):
        return dict(described)
    return {**described, "prompts": {role: text for role, text in prompts.items() if role != "query"}}

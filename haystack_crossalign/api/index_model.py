"""The model that an audit, a repair or an examination of an index uses, checked to be that of the index's vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from haystack_crossalign.api.model_options import ModelOptions
from haystack_crossalign.models.names import CLUSTER_PREFIX
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.model.check import check_index_model, name_of_model, read_index_model
from haystack_crossalign.opensearch.model.cluster_model import ClusterModel

if TYPE_CHECKING:
    from haystack_crossalign.models.encoder import Encoder


def model_in_use(client: ReadOnlyClient, settings: LiveSettings, options: ModelOptions) -> str:
    """Name of the model: the requested one, else that of the settings, else the one that the index states, else the
    default.

    :param client: connection.
    :param settings: index and model.
    :param options: the request.
    """
    named = options.model or settings.model
    return named or name_of_model(None, read_index_model(client, settings.index, settings.embedding_field))


def open_model(options: ModelOptions, name: str, client: ReadOnlyClient) -> Encoder | ClusterModel:
    """Load a model, or use one inside the cluster.

    :param options: how it is used.
    :param name: name of the model; ``cluster:`` and an id for one inside the cluster.
    :param client: connection to the cluster.
    :raises CrossAlignError: if it cannot be loaded, or an option is not possible.
    """
    return ClusterModel(client, name, options.given) if name.startswith(CLUSTER_PREFIX) else options.encoder(name)


def open_model_of(client: ReadOnlyClient, settings: LiveSettings, options: ModelOptions) -> Any:
    """Load the model, with the prompts of the settings, or the embedders of a pipeline.

    :param client: connection.
    :param settings: index, model and prompts.
    :param options: the request.
    :raises CrossAlignError: if it cannot be loaded.
    """
    if options.embedder is not None:
        return options.open()
    return open_model(options.with_profile(settings), model_in_use(client, settings, options), client)


def check_model_of(view: IndexView, encoder: Any, settings: LiveSettings, *, seed: int, accept: bool) -> list[str]:
    """Check that a model is that of an index's vectors; returns remarks.

    :param view: the index.
    :param encoder: the model.
    :param settings: its fields.
    :param seed: draws the documents that are embedded again.
    :param accept: continue with another model, but not with one of another dimension.
    :raises InputError: if it is another model.
    """
    check = check_index_model(
        view.client,
        view,
        encoder,
        target=settings.index,
        seed=seed,
        content_field=settings.content_field,
        title_field=settings.title_field,
    )
    # Texts that were embedded together with something not in the index look like those of another model. A different
    # dimension proves it.
    if not accept or encoder.provenance().get("dimension") != view.fields.vector.dimension:
        check.require()
    return list(check.findings)

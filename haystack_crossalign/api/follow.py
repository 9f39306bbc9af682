"""What applications wrote since a switch: is it of the new model, and if not, its conversion."""

from __future__ import annotations

from dataclasses import replace

from haystack_crossalign.api.gate import MovedEncoder, open_old_model
from haystack_crossalign.api.requests.index import IndexRequest
from haystack_crossalign.errors import CrossAlignError, InputError
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.index.fields import read_fields
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.model.newest import Newest, probe_newest
from haystack_crossalign.upgrade.documents.source import sequence_numbers
from haystack_crossalign.upgrade.documents.vectors import MatrixWay, ModelWay
from haystack_crossalign.upgrade.follow import Sides, lacks_new
from haystack_crossalign.upgrade.old_model import require_old_model
from haystack_crossalign.upgrade.records.job import SWITCHED, find_job
from haystack_crossalign.upgrade.ways import NewVectors


def open_sides(client: ReadOnlyClient, request: IndexRequest, new: NewVectors) -> Sides | None:
    """The models of both sides of a switch.

    A matrix needs the old one: only the text tells whether a vector was moved already. With a new model the old one may
    be missing.

    :param client: connection.
    :param request: its settings name the alias and the fields, its model is the old one where the user names it.
    :param new: where the new vectors come from.
    :returns: None where the old vectors are kept in a field of their own, so that nobody need tell them apart.
    :raises CrossAlignError: a model is needed that nothing names, that cannot be loaded, or that is not that of the old
        index.
    """
    settings = request.settings
    job = find_job(client, settings.index)
    if job is None:
        raise InputError("no upgrade of this alias is in the ledger", source=settings.index)
    if job.beside:
        return None
    before = replace(request, settings=replace(settings, index=job.source.name))
    old = None
    try:
        old = open_old_model(client, before, new, purpose="following")
    except CrossAlignError:
        if isinstance(new.way, MatrixWay) or request.model.model is not None:
            raise
    if old is not None and _is_there(client, job.source.name):
        field = str(job.data["way"]["fields"][0])
        require_old_model(
            client,
            job.source.name,
            field,
            ModelWay(old, settings.content_field, settings.title_field),
            option="--old-model",
        )
    if isinstance(new.way, ModelWay):
        return Sides(new.way.embedder, old, settings.content_field, settings.title_field)
    if not isinstance(new.way, MatrixWay) or old is None:
        raise TypeError("a way that is neither of the two")
    return Sides(MovedEncoder(old, new.way.map, new.model), old, settings.content_field, settings.title_field)


def written_since_switch(client: ReadOnlyClient, alias: str) -> int:
    """Number of operations on the new index since the switch; 0 where nothing was switched.

    :param client: connection.
    :param alias: the alias.
    """
    job = find_job(client, alias)
    if job is None or job.state != SWITCHED:
        return 0
    since = job.checkpoints("at_switch")
    numbers = sequence_numbers(client, job.target.name)
    return sum(max(0, highest - since.get(shard, -1)) for shard, (_, highest) in numbers.items())


def without_new_vector(client: ReadOnlyClient, alias: str) -> int:
    """Number of documents, or of nested objects in them, with an old vector and no new one beside it.

    :param client: connection.
    :param alias: an alias whose upgrade kept the old vectors.
    """
    job = find_job(client, alias)
    if job is None or not job.beside:
        return 0
    index = job.target.name
    return sum(
        client.count(index, lacks_new(read_fields(client, index, vector=name).vector, job.beside))
        for name in job.data["way"]["fields"]
    )


def newest_since_switch(client: ReadOnlyClient, alias: str, sides: Sides) -> Newest:
    """Whether the documents written last, since the switch, are of the new model.

    :param client: connection.
    :param alias: the alias.
    :param sides: of the switch.
    :raises CrossAlignError: the index cannot be read.
    """
    job = find_job(client, alias)
    if job is None:
        raise InputError("no upgrade of this alias is in the ledger", source=alias)
    field = str(job.data["way"]["fields"][0])
    view = IndexView(client, job.target.name, read_fields(client, job.target.name, vector=field))
    return probe_newest(
        view,
        sides.new,
        after=job.checkpoints("at_switch"),
        previous=sides.old,
        content_field=sides.content_field,
        title_field=sides.title_field,
    )


def _is_there(client: ReadOnlyClient, index: str) -> bool:
    try:
        client.settings(index)
    except InputError:
        return False
    return True

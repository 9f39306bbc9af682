"""The whole examination, from the connection to the model; stops if the next step is impossible."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from haystack_crossalign.errors import CrossAlignError
from haystack_crossalign.models.identity import model_name
from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
from haystack_crossalign.opensearch.connection.settings import LiveSettings
from haystack_crossalign.opensearch.doctor.cluster import examine_cluster, examine_connection
from haystack_crossalign.opensearch.doctor.documents import examine_documents
from haystack_crossalign.opensearch.doctor.fields import examine_fields, examine_names
from haystack_crossalign.opensearch.doctor.findings import Diagnosis, Finding, failed, ok, warning
from haystack_crossalign.opensearch.doctor.index_settings import examine_settings
from haystack_crossalign.opensearch.index.fields import Fields
from haystack_crossalign.opensearch.index.language_map import LanguageMap
from haystack_crossalign.opensearch.index.pool import IndexView
from haystack_crossalign.opensearch.model.check import check_index_model, name_of_model, read_index_model
from haystack_crossalign.opensearch.model.newest import probe_newest


def diagnose(
    client: ReadOnlyClient,
    settings: LiveSettings,
    *,
    open_encoder: Callable[[str], Any] | None = None,
    embedder: str | None = None,
) -> Diagnosis:
    """Examine an index as an audit would use it; only reads, and scores only a few documents.

    :param client: connection.
    :param settings: index, fields and model.
    :param open_encoder: loads the model with a name, to compare it with the vectors of the index: that of the settings,
        else the one that the index states, else the default, as an audit does. None to skip this.
    :param embedder: name of embedders that ``open_encoder`` loads in place of a model.
    :returns: findings; failures are findings and are not raised.
    """
    findings = _examine(client, settings, open_encoder, embedder)
    return Diagnosis(client.hosts, settings.index, tuple(findings))


def _examine(
    client: ReadOnlyClient, settings: LiveSettings, open_encoder: Callable[[str], Any] | None, embedder: str | None
) -> Iterator[Finding]:
    findings = examine_connection(client, settings)
    yield from findings
    if any(finding.state == "missing" for finding in findings):
        return
    findings, reads = examine_cluster(client, settings.index)
    yield from findings
    if "mapping" not in reads.answers:
        return
    mappings = reads.answers["mapping"]
    names = examine_names(settings.index, mappings, reads.answers.get("aliases"))
    yield names
    if names.state == "missing" or "settings" not in reads.answers:
        return
    findings, fields = examine_fields(client, settings, mappings)
    yield from findings
    yield from examine_settings(client, settings, reads.answers["settings"])
    if fields is None or not {"search", "multi-search"} <= set(reads.answers):
        return
    try:
        languages = LanguageMap.read(settings.language_map)
    except CrossAlignError as error:
        yield failed("language map", error)
        return
    findings = list(examine_documents(client, settings.index, fields, languages))
    yield from findings
    if fields.has_vectors and not any(finding.state == "missing" for finding in findings):
        yield from _model(client, settings, fields, open_encoder, embedder)


def _model(
    client: ReadOnlyClient,
    settings: LiveSettings,
    fields: Fields,
    open_encoder: Callable[[str], Any] | None,
    embedder: str | None,
) -> Iterator[Finding]:
    try:
        stored = read_index_model(client, settings.index, settings.embedding_field)
    except CrossAlignError as error:
        yield failed("model of the index", error, hosts=client.hosts)
        return
    if stored is None:
        yield warning(
            "model of the index",
            "the index does not say which model made its vectors",
            "index with CrossAlignDocumentWriter; until then a sample of documents is embedded again and compared",
        )
    else:
        yield ok("model of the index", model_name(stored))
    if open_encoder is None:
        yield warning("model", "no model is named, so none was compared", "--model NAME")
        return
    view = IndexView(client, settings.index, fields)
    name = embedder or name_of_model(settings.model, stored)
    try:
        encoder = open_encoder(name)
    except CrossAlignError as error:
        if settings.model is not None or embedder is not None:
            yield failed("model", error, hosts=client.hosts)
        else:
            origin = "the default" if stored is None else "which the index names"
            yield warning(
                "model",
                f"an audit would use {name}, {origin}, and it cannot be loaded: {error}",
                "--model NAME, as a folder too; or queries that carry their vectors",
            )
        return
    try:
        check = check_index_model(
            client,
            view,
            encoder,
            target=settings.index,
            content_field=settings.content_field,
            title_field=settings.title_field,
        )
    except CrossAlignError as error:
        yield failed("model", error, hosts=client.hosts)
        return
    remarks = "; ".join(check.findings)
    if not check.ok:
        yield failed("model", remarks, "audit with the model that made the vectors: --model NAME")
    elif check.basis == "none":
        yield warning("model", remarks or "could not be compared with any document", "check that it made these vectors")
    else:
        basis = "the index names it" if check.basis == "mapping" else "documents embedded again agree"
        yield ok("model", f"{name}: {basis}" + (f"; {remarks}" if remarks else ""))
        yield _newest(view, settings, encoder)


def _newest(view: IndexView, settings: LiveSettings, encoder: Any) -> Finding:
    """Check whether the most recent documents also have the model's vectors, since an application may still use the
    previous model.
    """
    try:
        newest = probe_newest(view, encoder, content_field=settings.content_field, title_field=settings.title_field)
    except CrossAlignError as error:
        return failed("newest documents", error, hosts=view.client.hosts)
    if not newest.compared:
        return warning("newest documents", "none holds a text to embed again", "name the field: --content-field")
    if newest.foreign:
        return warning(
            "newest documents",
            newest.told(),
            "an application still writes with another model: give it that of the index, and let it write them again",
        )
    return ok("newest documents", newest.told())

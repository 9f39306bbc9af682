"""`crossalign init`: write a profile for an index, with the fields that it has, and check it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from haystack_crossalign.cli.commands.doctor import examined, show_findings
from haystack_crossalign.cli.shared import live_options as live
from haystack_crossalign.cli.shared import options as opt
from haystack_crossalign.cli.shared.groups import with_groups
from haystack_crossalign.cli.shared.terminal import say

if TYPE_CHECKING:
    from haystack_crossalign.opensearch.connection.settings import LiveSettings

_PATIENCE = 5.0

Index = Annotated[
    str | None,
    typer.Option(
        "--index", metavar="NAME", help="Index or alias; also the name of the profile unless --profile is given."
    ),
]
ProfileName = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="Name of the profile. Default: that of the index.")
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="File to write. Default: crossalign.toml here.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a profile of that name.")]


@with_groups(without=("precision", "backend", "max_tokens", "similarity"))
def init(
    *,
    index: Index = None,  # noqa: ARG001 - part of the group
    place: live.IndexFlags,
    profile: ProfileName = None,
    config: ConfigFile = None,
    overwrite: Overwrite = False,
    index_fields: live.FieldFlags,
    title_field: live.TitleField = None,
    model: live.Model = None,
    query_prefix: live.QueryPrefix = None,
    document_prefix: live.DocumentPrefix = None,
    login: live.LoginFlags,
    model_flags: opt.ModelFlags,
    timeout: live.Timeout = None,
) -> None:
    """Write a profile for a live index into crossalign.toml: its address, its fields, how to log in. Then check it.

    Fields with other names than the default ones are found in the mapping, which is only read. Secrets are never
    written: they stay in the environment, or in files that the profile names. Other profiles, and comments, stay.
    """
    from haystack_crossalign.files.paths import expanded
    from haystack_crossalign.files.writing import write_atomically
    from haystack_crossalign.opensearch.connection.profiles import CONFIG_NAME, with_profile
    from haystack_crossalign.opensearch.connection.settings import SETTINGS, read_settings, variable_of

    model_flags.check()
    file = Path.cwd() / (CONFIG_NAME if config is None else expanded(config, source="--config"))
    flags = {
        "index": place.index, "hosts": place.hosts, **vars(index_fields), **vars(login), "title_field": title_field,
        "model": model, "query_prefix": query_prefix, "document_prefix": document_prefix, "timeout": timeout,
        "query_prompt": model_flags.query_prompt, "document_prompt": model_flags.document_prompt,
    }  # fmt: skip
    # Profiles are not read: the new one holds what is given here and found in the index.
    settings = read_settings(None, flags, os.environ, Path.cwd(), with_profiles=False)
    name = profile or settings.index
    # Before the index is asked: what is in the file decides whether it can be written.
    with_profile(file, name, {}, SETTINGS, replaced=overwrite)
    fixed = {key for key, value in flags.items() if value is not None}
    fixed |= {key for key in SETTINGS if os.environ.get(variable_of(key))}
    with live.connected(replace(settings, patience=_PATIENCE)) as client:
        from haystack_crossalign.opensearch.doctor.suggest import suggested_settings

        suggestion = suggested_settings(client, settings, fixed)
    text = with_profile(file, name, suggestion.profile(file.resolve().parent), SETTINGS, replaced=overwrite)
    write_atomically(file, text)
    diagnosis = examined(suggestion, model_flags)
    show_findings(diagnosis)
    for line in _told(settings, suggestion):
        say(line)
    say(f"Wrote the profile '{name}' to {file}: crossalign audit --index {name}")
    if diagnosis.exit_code:
        raise typer.Exit(diagnosis.exit_code)


def _told(before: LiveSettings, after: LiveSettings) -> list[str]:
    changed = [key for key in vars(after) if getattr(before, key) != getattr(after, key)]
    return [f"Found in the mapping: {key} = {getattr(after, key)}" for key in changed]

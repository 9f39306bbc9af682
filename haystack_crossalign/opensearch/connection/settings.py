"""The settings of an audit of a live index, from profile, environment and flags, all defined by one table.

The table is the class `LiveSettings` itself: a field ``ca_file`` is the key ``ca_file`` of a profile, the variable
``CROSSALIGN_CA_FILE`` and the flag ``--ca-file``. It holds no secrets, so that it may be shown and stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from haystack_crossalign.errors import InputError
from haystack_crossalign.files.paths import expanded
from haystack_crossalign.opensearch.connection.profiles import CONFIG_NAME, Profile, read_profiles
from haystack_crossalign.opensearch.connection.setting_values import Place, Setting, convert

AuthKind = Literal["none", "basic", "bearer", "api_key", "aws"]
ExactMode = Literal["auto", "server", "local"]
_MODES = ("auto", "server", "local")
_KINDS = ("none", "basic", "bearer", "api_key", "aws")


@dataclass(frozen=True)
class LiveSettings:
    """The connection to an index, its fields, and limits of the load.

    If ``auth`` is None, it follows from the other settings and the secrets, see
    `haystack_crossalign.opensearch.connection.connect`.
    """

    hosts: Annotated[tuple[str, ...], Setting("addresses", "Addresses of the cluster, joined by commas.", "URL,…")] = ()
    index: Annotated[str, Setting("text", "Index or alias; a profile of that name applies.", "NAME")] = ""
    embedding_field: Annotated[str, Setting("text", "Field that holds the vector.", "NAME")] = "embedding"
    language_field: Annotated[str, Setting("text", "Field that holds the language.", "NAME")] = "language"
    language_map: Annotated[
        str | None, Setting("text", "Languages that values of that field stand for.", "VALUE=LANGUAGE,…")
    ] = None
    group_field: Annotated[str, Setting("text", "Field that versions of one content share.", "NAME")] = "parallel_id"
    content_field: Annotated[str, Setting("text", "Field that holds the text.", "NAME")] = "content"
    title_field: Annotated[str | None, Setting("text", "Field that holds the title.", "NAME")] = None
    url_field: Annotated[
        str | None, Setting("text", "Field that holds the address of a document's page, for links in reports.", "NAME")
    ] = None
    model: Annotated[str | None, Setting("text", "Model that embeds the queries.", "NAME")] = None
    query_prefix: Annotated[
        str | None, Setting("prompt", "Text put before every query, in place of the model's own.", "TEXT")
    ] = None
    document_prefix: Annotated[
        str | None, Setting("prompt", "Text put before every document, in place of the model's own.", "TEXT")
    ] = None
    query_prompt: Annotated[
        str | None, Setting("text", "For queries, the prompt that the model has by this name.", "NAME")
    ] = None
    document_prompt: Annotated[
        str | None, Setting("text", "For documents, the prompt that the model has by this name.", "NAME")
    ] = None
    auth: Annotated[
        AuthKind | None, Setting("choice", "How to log in. Default: what the credentials are for.", choices=_KINDS)
    ] = None
    user: Annotated[str | None, Setting("user", "User name, for basic authentication.", "NAME")] = None
    # Not in ``repr``, since a user may have entered the secret itself instead of its file.
    password_file: Annotated[Path | None, Setting("secret file", "File that holds the password.", "FILE")] = field(
        default=None, repr=False
    )
    token_file: Annotated[Path | None, Setting("secret file", "File that holds the bearer token.", "FILE")] = field(
        default=None, repr=False
    )
    api_key_file: Annotated[Path | None, Setting("secret file", "File that holds the API key.", "FILE")] = field(
        default=None, repr=False
    )
    ca_file: Annotated[
        Path | None,
        Setting("file", "PEM file of the certificate authorities to trust instead of the system's.", "FILE"),
    ] = None
    client_certificate: Annotated[Path | None, Setting("file", "PEM file of a client certificate.", "FILE")] = None
    client_key: Annotated[Path | None, Setting("file", "PEM file of its key.", "FILE")] = None
    verify_tls: Annotated[
        bool, Setting("yes/no", "Verify the server's certificate (default), or trust any server.")
    ] = True
    aws_region: Annotated[str | None, Setting("text", "AWS region, for requests signed with SigV4.", "NAME")] = None
    aws_service: Annotated[str, Setting("choice", "AWS service to sign for.", choices=("es", "aoss"))] = "es"
    timeout: Annotated[float, Setting("number", "Seconds to wait for one answer.", "SECONDS")] = 60.0
    patience: Annotated[
        float, Setting("number", "Seconds to keep trying while the cluster is busy or unavailable.", "SECONDS")
    ] = 60.0
    concurrent: Annotated[
        int | None, Setting("count", "Searches that the cluster runs at once. Default: its own choice.", "N")
    ] = None
    max_load: Annotated[
        float | None, Setting("number", "Documents scored per second, at most. Default: no limit.", "N")
    ] = None
    batch: Annotated[int, Setting("count", "Queries in one request.", "N")] = 16
    exact: Annotated[
        ExactMode,
        Setting("choice", "Who counts exact ranks: the cluster, this machine, or what costs less.", choices=_MODES),
    ] = "auto"
    depth: Annotated[int, Setting("count", "Length of the retrieved lists.", "N")] = 100

    def describe(self) -> dict[str, Any]:
        """The settings for a result, as JSON values, without users and file names."""
        shown = {name: getattr(self, name) for name, entry in SETTINGS.items() if entry.kind not in _PRIVATE}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in shown.items()}

    def profile(self, folder: Path) -> dict[str, Any]:
        """The settings for a profile, as TOML values: the index, its fields, and what differs from the defaults.

        :param folder: folder of the profile's file; files inside of it are named relative to it.
        """
        values: dict[str, Any] = {}
        for name, entry in SETTINGS.items():
            value = getattr(self, name)
            if value == getattr(LiveSettings(), name) and name not in _ALWAYS:
                continue
            if entry.is_file:
                path = Path(value)
                value = str(path.relative_to(folder) if path.is_relative_to(folder) else path)
            values[name] = list(value) if isinstance(value, tuple) else value
        return values


_ALWAYS = frozenset({"hosts", "index", "embedding_field", "language_field", "group_field", "content_field"})
_PRIVATE = frozenset({"user", "file", "secret file"})
SETTINGS: Mapping[str, Setting] = {
    name: hint.__metadata__[0] for name, hint in get_type_hints(LiveSettings, include_extras=True).items()
}
"""Every setting by name, in the order of the documentation."""

SECRETS: Mapping[str, str] = {"password": "password_file", "token": "token_file", "api_key": "api_key_file"}
"""The secrets, each with the setting that may name a file for it; a secret itself comes from the environment only."""


def variable_of(name: str) -> str:
    """Environment variable of a setting or secret."""
    return f"CROSSALIGN_{name.upper()}"


def flag_of(name: str) -> str:
    """Flag of a setting."""
    return f"--{name.replace('_', '-')}"


def read_settings(
    profile: str | None,
    flags: Mapping[str, object | None],
    environ: Mapping[str, str],
    folder: Path,
    *,
    config: Path | None = None,
    with_profiles: bool = True,
) -> LiveSettings:
    """Settings from all sources; a later one overrides an earlier one: profile, environment, flags.

    The profile is the given one, else that of ``CROSSALIGN_PROFILE``, else the one with the name of the index given by
    a flag or the environment. In the last case the index is the profile's, or has the profile's name if the profile has
    none.

    :param profile: name of a profile, or None.
    :param flags: values by name of setting; None for a flag that was not given.
    :param environ: the environment.
    :param folder: working folder, which contains ``crossalign.toml`` and is the base of relative file names in flags
        and environment. Those in a profile are relative to its file.
    :param config: file with the profiles, instead of ``crossalign.toml`` there.
    :param with_profiles: whether profiles are read.
    :raises InputError: something unknown, of a wrong type or missing.
    """
    explicit = {
        name: convert(SETTINGS[name], value, Place(flag_of(name), folder))
        for name, value in flags.items()
        if value is not None
    }
    surroundings = {
        name: convert(entry, environ[variable], Place("environment", folder, variable, typed=False))
        for name, entry in SETTINGS.items()
        # Many systems use an empty variable for an unset one, but an empty prefix is a value.
        if environ.get(variable := variable_of(name)) or (entry.kind == "prompt" and variable in environ)
    }
    named = profile or environ.get(variable_of("profile")) or None
    chosen = _profile(named, explicit, surroundings, folder, config) if with_profiles else None
    stored: dict[str, Any] = {}
    if chosen is not None:
        stored = {key: convert(SETTINGS[key], value, chosen.place(key)) for key, value in chosen.values.items()}
        real = stored.setdefault("index", chosen.name)
        if named is None:
            for layer in (explicit, surroundings):
                if layer.get("index") == chosen.name:
                    layer["index"] = real
    for secret, file in SECRETS.items():
        if environ.get(variable_of(secret)):
            # A secret in the environment overrides a file that the profile names, not one that a flag names.
            stored.pop(file, None)
            if file in surroundings:
                raise InputError(
                    f"{variable_of(secret)} is set as well",
                    source="environment",
                    field=variable_of(file),
                    allowed="one of the two",
                )
    merged: dict[str, Any] = {}
    for layer, place in ((stored, CONFIG_NAME), (surroundings, "environment"), (explicit, "options")):
        _settle_prompts(merged, layer, place)
        merged |= layer
    settings = LiveSettings(**merged)
    for name, what in (("hosts", "address of the cluster"), ("index", "index")):
        if not getattr(settings, name):
            raise InputError(
                f"no {what} is given",
                source=flag_of(name),
                allowed=f"{flag_of(name)}, {variable_of(name)}, or '{name}' in a profile of {CONFIG_NAME}",
            )
    return settings


def _settle_prompts(before: dict[str, Any], layer: Mapping[str, Any], place: str) -> None:
    """Remove prompts that a layer overrides in the other form: a prompt is given as a text or a name, never both."""
    for role in ("query", "document"):
        names = (f"{role}_prefix", f"{role}_prompt")
        chosen = [name for name in names if name in layer]
        if len(chosen) > 1:
            raise InputError(
                f"{names[0]} and {names[1]} exclude each other", source=place, field=names[1], allowed="one of the two"
            )
        if chosen:
            for name in names:
                before.pop(name, None)


def _profile(
    named: str | None,
    given: Mapping[str, Any],
    surroundings: Mapping[str, Any],
    folder: Path,
    config: Path | None,
) -> Profile | None:
    file = folder / (expanded(config, source="--config") if config is not None else CONFIG_NAME)
    if config is None and not file.is_file():
        if named is not None:
            raise InputError("no such file, and a profile is asked for", source=file, seen=named)
        return None
    profiles = read_profiles(file, SETTINGS)
    if named is None:
        return profiles.get(given.get("index") or surroundings.get("index") or "")
    if named not in profiles:
        raise InputError(
            "no such profile", source=file, seen=named, allowed=", ".join(sorted(profiles)) or "none stands there"
        )
    return profiles[named]

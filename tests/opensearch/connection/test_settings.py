"""Settings from profile, environment and flags: one table, one precedence, and errors that say where."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from haystack_crossalign.errors import InputError
from haystack_crossalign.opensearch.connection.credentials import read_secret
from haystack_crossalign.opensearch.connection.settings import (
    SETTINGS,
    LiveSettings,
    flag_of,
    read_settings,
    variable_of,
)

HOST = "https://one.example:9200"
# Per kind: values for the profile, the environment and the flag.
VALUES: dict[str, tuple[Any, str, Any]] = {
    "addresses": (["https://a.example"], "https://b.example,https://b2.example:9200", "https://c.example"),
    "text": ("from-profile", "from-environment", "from-flag"),
    "prompt": ("profile: ", "environment: ", "flag: "),
    "user": ("ann", "ben", "cay"),
    "yes/no": (False, "yes", False),
    "count": (3, "4", 5),
    "number": (3, "4.5", 5.5),
    "file": ("p.pem", "e.pem", Path("f.pem")),
    "secret file": ("p.txt", "e.txt", Path("f.txt")),
}
CHOICES = {
    "auth": ("basic", "bearer", "aws"),
    "aws_service": ("aoss", "es", "aoss"),
    "exact": ("local", "server", "local"),
}


def write(folder: Path, values: dict[str, Any], name: str = "prod") -> Path:
    lines = [f"[profiles.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    file = folder / "crossalign.toml"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def expected(kind: str, value: Any, folder: Path) -> Any:
    """What a value becomes; worked out here in another way than the package does."""
    if kind == "addresses":
        return tuple(value.split(",")) if isinstance(value, str) else tuple(value)
    if kind in {"file", "secret file"}:
        return folder / value
    if kind == "yes/no":
        return value in {True, "yes"}
    return float(value) if kind == "number" else int(value) if kind == "count" else value


@pytest.mark.parametrize("name", list(SETTINGS))
def test_every_field_comes_from_profile_then_environment_then_flag(tmp_path: Path, name: str) -> None:
    kind = SETTINGS[name].kind
    profile, variable, flag = CHOICES.get(name) or VALUES[kind]
    file = write(tmp_path, {"hosts": HOST, "index": "i", **{name: profile}})
    working = tmp_path / "elsewhere"
    default = getattr(LiveSettings(), name)

    def read(flags: dict[str, Any], environ: dict[str, str]) -> Any:
        return getattr(read_settings("prod", flags, environ, working, config=file), name)

    environ = {variable_of(name): variable}
    assert expected(kind, profile, tmp_path) != default
    assert read({name: None}, {}) == expected(kind, profile, tmp_path)
    assert read({name: None}, environ) == expected(kind, variable, working)
    assert read({name: flag}, environ) == expected(kind, flag, working)
    assert read({name: flag}, {}) == expected(kind, flag, working)


def test_one_table_makes_keys_variables_and_flags() -> None:
    assert list(SETTINGS) == [field.name for field in dataclasses.fields(LiveSettings)]
    assert (variable_of("ca_file"), flag_of("ca_file")) == ("CROSSALIGN_CA_FILE", "--ca-file")
    assert all(entry.help.endswith(".") for entry in SETTINGS.values())


def test_an_index_named_like_a_profile_takes_the_profile_and_its_index(tmp_path: Path) -> None:
    write(tmp_path, {"hosts": HOST, "index": "documents-v3"})
    for flags, environ in (({"index": "prod"}, {}), ({"index": "prod"}, {"CROSSALIGN_INDEX": "other"})):
        settings = read_settings(None, flags, environ, tmp_path)
        assert (settings.hosts, settings.index) == ((HOST,), "documents-v3")
    assert read_settings(None, {}, {"CROSSALIGN_INDEX": "prod"}, tmp_path).index == "documents-v3"
    assert read_settings("prod", {"index": "other"}, {}, tmp_path).index == "other"
    assert read_settings(None, {}, {"CROSSALIGN_PROFILE": "prod"}, tmp_path).index == "documents-v3"
    with pytest.raises(InputError, match="no address of the cluster"):
        read_settings(None, {"index": "other"}, {}, tmp_path)


def test_a_profile_without_an_index_stands_for_its_own_name(tmp_path: Path) -> None:
    write(tmp_path, {"hosts": HOST})
    assert read_settings(None, {"index": "prod"}, {}, tmp_path).index == "prod"
    assert read_settings("prod", {}, {}, tmp_path).index == "prod"


def test_without_a_file_flags_and_environment_are_enough(tmp_path: Path) -> None:
    settings = read_settings(None, {"index": "prod"}, {"CROSSALIGN_HOSTS": "localhost:9200/"}, tmp_path)
    assert settings == LiveSettings(hosts=("http://localhost:9200",), index="prod")


@pytest.mark.parametrize(("lacking", "flags"), [("hosts", {"index": "i"}), ("index", {"hosts": HOST})])
def test_what_must_be_given_is_named_with_all_ways_to_give_it(tmp_path: Path, lacking: str, flags: dict) -> None:
    with pytest.raises(InputError) as caught:
        read_settings(None, flags, {}, tmp_path)
    for way in (flag_of(lacking), variable_of(lacking), "crossalign.toml"):
        assert way in str(caught.value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "[profiles.prod]\nhosts = 'http://a'\n\nindeks = 'x'\n",
            ["line 4", "profiles.prod.indeks", "unknown key", "index"],
        ),
        ("[profiles.other]\nnope = 1\n[profiles.prod]\nhosts='http://a'\n", ["line 2", "profiles.other.nope"]),
        ("[profiles.prod]\ntimeout = '60'\n", ["line 2", "profiles.prod.timeout", "'60'", "a number, above 0"]),
        ("[profiles.prod]\nbatch = 1.5\n", ["line 2", "profiles.prod.batch", "1.5", "whole number"]),
        ("[profiles.prod]\nbatch = true\n", ["line 2", "profiles.prod.batch", "True"]),
        ("[profiles.prod]\nbatch = 0\n", ["line 2", "profiles.prod.batch", "not allowed"]),
        ("[profiles.prod]\ntimeout = nan\n", ["line 2", "profiles.prod.timeout", "not allowed"]),
        ("[profiles.prod]\nverify_tls = 'no'\n", ["line 2", "profiles.prod.verify_tls", "'no'", "true or false"]),
        ("[profiles.prod]\nhosts = 5\n", ["line 2", "profiles.prod.hosts", "not allowed"]),
        ("[profiles.prod]\nhosts = []\n", ["line 2", "profiles.prod.hosts", "not allowed"]),
        ("[profiles.prod]\nhosts = ['ftp://a']\n", ["line 2", "profiles.prod.hosts", "'ftp://a'"]),
        ("[profiles.prod]\nhosts = ['http://a:99999']\n", ["line 2", "not an address"]),
        ("[profiles.prod]\nindex = ''\n", ["line 2", "profiles.prod.index", "not allowed"]),
        ("[profiles.prod]\nauth = 'kerberos'\n", ["line 2", "'kerberos'", "none, basic, bearer, api_key, aws"]),
        ("\n[profile.prod]\nindex = 'a'\n", ["line 2", "'profile'", "unknown key", "[profiles.NAME]"]),
        ("index = 'a'\n", ["line 1", "'index'", "unknown key", "[profiles.NAME]"]),
        ("[profiles]\nprod = 'a'\n", ["line 2", "profiles.prod", "[profiles.NAME]"]),
        ("[profiles.prod]\nindex = \n", ["line 2", "not valid TOML"]),
        ("[profiles.prod]\nindex = 'a'\nindex = 'b'\n", ["line 3", "not valid TOML"]),
    ],
)
def test_a_fault_in_the_file_is_named_with_line_key_and_what_is_allowed(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    (tmp_path / "crossalign.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_settings("prod", {}, {}, tmp_path)
    for part in ["crossalign.toml", *parts]:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("key", "meant"), [("pasword_file", "password_file"), ("host", "hosts"), ("ca_fil", "ca_file")]
)
def test_a_slip_of_the_pen_is_told_what_was_meant(tmp_path: Path, key: str, meant: str) -> None:
    (tmp_path / "crossalign.toml").write_text(f"[profiles.prod]\n{key} = 'x'\n", encoding="utf-8")
    with pytest.raises(InputError, match=rf"line 2, field 'profiles\.prod\.{key}': .*did you mean '{meant}'\?"):
        read_settings("prod", {}, {}, tmp_path)


def test_an_empty_variable_is_none_and_an_empty_prefix_is_one(tmp_path: Path) -> None:
    environ = {"CROSSALIGN_USER": "", "CROSSALIGN_TIMEOUT": "", "CROSSALIGN_QUERY_PREFIX": "", "CROSSALIGN_PROFILE": ""}
    settings = read_settings(None, {"hosts": HOST, "index": "i"}, environ, tmp_path)
    assert (settings.user, settings.timeout, settings.query_prefix) == (None, 60.0, "")


def test_a_key_in_an_inline_table_is_named_without_a_line(tmp_path: Path) -> None:
    (tmp_path / "crossalign.toml").write_text("profiles = {prod = {nope = 1}}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"crossalign\.toml, field 'profiles\.prod\.nope': unknown key"):
        read_settings("prod", {}, {}, tmp_path)


@pytest.mark.parametrize(
    "key", ["password", "Passwort", "token", "api_key", "apikey", "aws_secret_access_key", "passwd"]
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path, key: str) -> None:
    (tmp_path / "crossalign.toml").write_text(f"[profiles.prod]\nhosts = '{HOST}'\n{key} = 'hunter-2!'\n", "utf-8")
    with pytest.raises(InputError, match=r"line 3, field 'profiles\.prod\..*secrets do not belong") as caught:
        read_settings("prod", {}, {}, tmp_path)
    assert "hunter-2" not in str(caught.value)
    assert "CROSSALIGN_PASSWORD" in str(caught.value)


# What a parser of addresses makes of these differs; all hold a password.
WITH_PASSWORD = ["https://user:hunter-2@a", "user:hunter-2@a:9200", "https://u:hunter-2#x@a", "https://u:a/hunter-2@a"]


@pytest.mark.parametrize("address", WITH_PASSWORD)
@pytest.mark.parametrize("source", ["profile", "environment", "flag"])
def test_a_password_in_an_address_is_refused_and_not_repeated(tmp_path: Path, address: str, source: str) -> None:
    write(tmp_path, {"index": "i", "hosts": address} if source == "profile" else {"index": "i"})
    flags = {"hosts": address} if source == "flag" else {}
    environ = {"CROSSALIGN_HOSTS": address} if source == "environment" else {}
    with pytest.raises(InputError) as caught:
        read_settings("prod", flags, environ, tmp_path)
    assert "hunter-2" not in f"{caught.value}{caught.value!r}"
    where = {"profile": "line 3", "environment": "CROSSALIGN_HOSTS", "flag": "--hosts"}[source]
    assert where in str(caught.value)


def test_a_user_with_the_password_behind_it_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="environment, field 'CROSSALIGN_USER'") as caught:
        read_settings(None, {}, {"CROSSALIGN_USER": "ann:hunter-2"}, tmp_path)
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("CROSSALIGN_TIMEOUT", "soon", "a number, above 0"),
        ("CROSSALIGN_BATCH", "2.5", "whole number"),
        ("CROSSALIGN_VERIFY_TLS", "perhaps", "true or false"),
        ("CROSSALIGN_AUTH", "kerberos", "none, basic"),
    ],
)
def test_a_fault_in_the_environment_names_the_variable(tmp_path: Path, variable: str, value: str, allowed: str) -> None:
    with pytest.raises(InputError) as caught:
        read_settings(None, {"hosts": HOST, "index": "i"}, {variable: value}, tmp_path)
    for part in ("environment", variable, value, allowed):
        assert part in str(caught.value)


def test_a_profile_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file, and a profile is asked for"):
        read_settings("prod", {}, {}, tmp_path)
    write(tmp_path, {"hosts": HOST}, name="staging")
    with pytest.raises(InputError, match=r"no such profile; seen: 'prod'; allowed: staging"):
        read_settings("prod", {}, {}, tmp_path)
    with pytest.raises(InputError, match=r"other\.toml: no such file"):
        read_settings(None, {}, {}, tmp_path, config=Path("other.toml"))


def test_the_blank_behind_a_prefix_is_kept_and_an_empty_prefix_is_one(tmp_path: Path) -> None:
    settings = read_settings(
        None, {"hosts": HOST, "index": "i", "query_prefix": "query: ", "document_prefix": ""}, {}, tmp_path
    )
    assert (settings.query_prefix, settings.document_prefix) == ("query: ", "")


def test_a_prompt_of_a_later_source_replaces_an_earlier_one_however_it_is_said(tmp_path: Path) -> None:
    write(tmp_path, {"hosts": HOST, "query_prefix": "query: ", "document_prompt": "passage"})
    settings = read_settings("prod", {}, {}, tmp_path)
    assert (settings.query_prefix, settings.document_prompt) == ("query: ", "passage")
    flagged = read_settings("prod", {"query_prompt": "s2p", "document_prefix": ""}, {}, tmp_path)
    assert (flagged.query_prefix, flagged.query_prompt) == (None, "s2p")
    assert (flagged.document_prefix, flagged.document_prompt) == ("", None)
    environ = {"CROSSALIGN_QUERY_PROMPT": "s2s"}
    assert read_settings("prod", {}, environ, tmp_path).query_prefix is None
    assert read_settings("prod", {"query_prefix": "q "}, environ, tmp_path).query_prompt is None
    for layer in ({"query_prefix": "q", "query_prompt": "s2p"}, {"document_prefix": "", "document_prompt": "d"}):
        with pytest.raises(InputError, match="exclude each other"):
            read_settings(None, {"hosts": HOST, "index": "i", **layer}, {}, tmp_path)
    write(tmp_path, {"hosts": HOST, "query_prefix": "query: ", "query_prompt": "s2p"})
    with pytest.raises(InputError, match=r"crossalign\.toml.*exclude each other"):
        read_settings("prod", {}, {}, tmp_path)


def test_a_secret_in_the_environment_overrides_the_file_of_the_profile_but_not_that_of_a_flag(tmp_path: Path) -> None:
    write(tmp_path, {"hosts": HOST, "password_file": "stored"})
    environ = {"CROSSALIGN_PASSWORD": "of the environment"}
    assert read_settings("prod", {}, {}, tmp_path).password_file == tmp_path / "stored"
    assert read_settings("prod", {}, environ, tmp_path).password_file is None
    assert read_settings("prod", {"password_file": "given"}, environ, tmp_path).password_file == tmp_path / "given"
    with pytest.raises(InputError, match="CROSSALIGN_PASSWORD is set as well"):
        read_settings("prod", {}, environ | {"CROSSALIGN_PASSWORD_FILE": "x"}, tmp_path)


def test_what_a_result_may_say_holds_no_user_and_no_names_of_files() -> None:
    settings = LiveSettings(hosts=(HOST,), index="i", user="ann", password_file=Path("p"), ca_file=Path("c"))
    shown = settings.describe()
    assert json.loads(json.dumps(shown)) == shown
    assert shown["hosts"] == [HOST]
    assert not {
        "user",
        "password_file",
        "token_file",
        "api_key_file",
        "ca_file",
        "client_certificate",
        "client_key",
    } & set(shown)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_line_ends_behind_a_secret_are_dropped_and_nothing_else(tmp_path: Path, end: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b" pass word\t" + end.encode())
    file.chmod(0o600)
    notes: list[str] = []
    assert read_secret("password", file, {}, notes) == " pass word\t"
    assert read_secret("password", None, {"CROSSALIGN_PASSWORD": " pass word\t" + end}) == " pass word\t"
    assert notes == []


def test_a_secret_that_others_can_read_is_warned_of_without_its_path(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hunter-2\n", encoding="utf-8")
    for mode in (0o640, 0o604, 0o644):
        file.chmod(mode)
        notes: list[str] = []
        assert read_secret("token", file, {}, notes) == "hunter-2"
        assert len(notes) == 1
        assert "--token-file" in notes[0]
        assert "hunter-2" not in notes[0]


def test_a_secret_given_in_the_place_of_its_file_is_not_repeated(tmp_path: Path) -> None:
    for name, match in (("hunter-2", "no such file"), (".", "is a folder"), ("hunter-2\0", "not a name of a file")):
        with pytest.raises(Exception, match=match) as caught:
            read_secret("password", tmp_path / name, {})
        assert "--password-file" in str(caught.value)
        assert "hunter-2" not in str(caught.value)
    with pytest.raises(InputError, match="not allowed") as caught:
        read_settings(None, {"password_file": 12345678}, {}, tmp_path)
    assert "12345678" not in str(caught.value)


def test_an_empty_or_unreadable_secret_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    for content, match in (
        (b"\n", "the api key is empty"),
        (b"\xff\xfe", "not valid UTF-8"),
        (b"x" * 70_000, "too long"),
    ):
        file.write_bytes(content)
        with pytest.raises(InputError, match=match):
            read_secret("api_key", file, {})
    assert read_secret("api_key", None, {}) is None


@pytest.fixture(scope="module")
def page(project_root: Path) -> str:
    return (project_root / "docs" / "connection.md").read_text(encoding="utf-8")


def test_the_page_lists_every_setting_with_its_meaning_values_and_default(page: str) -> None:
    rows = [line for line in page.splitlines() if line.startswith("| `") and line.count("|") == 5]
    described = {row.split("`")[1]: [cell.strip() for cell in row.split("|")[2:5]] for row in rows}
    assert list(described) == list(SETTINGS)
    for name, (meaning, values, default) in described.items():
        assert (meaning, values) == (SETTINGS[name].help, SETTINGS[name].allowed)
        value = getattr(LiveSettings(), name)
        if value in (None, "", ()):
            assert default == ""
        else:
            assert (
                json.loads(default.strip("`") if not isinstance(value, str) else json.dumps(default.strip("`")))
                == value
            )


def test_the_profile_on_the_page_is_one(page: str, tmp_path: Path) -> None:
    (tmp_path / "crossalign.toml").write_text(page.split("```toml")[1].split("```")[0], encoding="utf-8")
    settings = read_settings(None, {"index": "prod"}, {}, tmp_path)
    assert (settings.index, settings.group_field, settings.max_load) == ("documents-v3", "meta.parallel_id", 200_000)
    assert settings.ca_file == tmp_path / "company-ca.pem"
    assert settings.password_file == Path("~/.secrets/crossalign").expanduser()

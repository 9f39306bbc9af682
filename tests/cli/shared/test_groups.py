"""Options in groups: Typer sees the fields of a command's dataclass parameters as options of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from haystack_crossalign.cli.shared.groups import with_groups


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where to look."""

    host: Annotated[str, typer.Option(help="Its address.")] = "localhost"
    port: Annotated[int, typer.Option("--tcp-port", min=1)] = 9200
    secret: Annotated[str | None, typer.Option()] = None


@with_groups(without=("secret",))
def show(*, first: Annotated[int, typer.Option()] = 1, place: Place, host: str = "here", last: bool = False) -> None:
    """Show what was given."""
    typer.echo(f"{first} {place.host} {place.port} {place.secret} {host} {last}")


app = typer.Typer()
app.command()(show)


def test_fields_are_options_and_an_own_parameter_takes_the_place_of_a_field() -> None:
    given = CliRunner().invoke(app, ["--first", "2", "--tcp-port", "7", "--host", "there", "--last"])
    assert given.output == "2 there 7 None there True\n"
    assert CliRunner().invoke(app, []).output == "1 here 9200 None here False\n"


def test_the_order_is_that_of_the_parameters_and_what_is_left_out_is_no_option() -> None:
    text = CliRunner().invoke(app, ["--help"]).output
    assert [text.index(option) for option in ("--first", "--tcp-port", "--host", "--last")] == sorted(
        text.index(option) for option in ("--first", "--tcp-port", "--host", "--last")
    )
    assert "--secret" not in text
    assert CliRunner().invoke(app, ["--tcp-port", "0"]).exit_code == 2

"""Sections of the help: every option once, in its section; short commands keep one list."""

from __future__ import annotations

import re
from typing import Any

import pytest
import typer

from haystack_crossalign.cli.main import app
from haystack_crossalign.cli.shared.sections import SECTIONS

GROUP: Any = typer.main.get_command(app)
COMMANDS = sorted(name for name, command in GROUP.commands.items() if not hasattr(command, "commands"))


def shown(text: str) -> dict[str, list[str]]:
    """The options in each section of a help text, in order."""
    sections: dict[str, list[str]] = {}
    for line in text.splitlines():
        if re.fullmatch(r"\w.*:", line):
            sections[line[:-1]] = []
        elif (option := re.match(r"  (?:-\w, )?(--[\w-]+)", line)) and sections:
            sections[[*sections][-1]].append(option[1])
    return sections


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_shown_once_and_has_a_help_text(crossalign: Any, name: str) -> None:
    done = crossalign(name, "--help")
    assert done.code == 0
    options = [option for section in shown(done.out).values() for option in section]
    parameters = [one for one in GROUP.commands[name].params if one.param_type_name == "option"]
    assert sorted(options) == sorted([*(one.opts[0] for one in parameters), "--help"])
    # What stands for a value is a word of ours, not the name of a type.
    assert not re.search(r"<\w+( range)?>|\b(INTEGER|FLOAT) RANGE\b", done.out)
    assert [one.name for one in parameters if not one.help] == []


def test_a_long_help_is_in_sections_and_a_short_one_is_not(crossalign: Any) -> None:
    audit = shown(crossalign("audit", "--help").out)
    assert [*audit] == ["Options", *SECTIONS]
    assert audit["Options"] == ["--help"]
    assert audit["Model"][:3] == ["--model", "--embedder", "--precision"]
    upgrade = shown(crossalign("upgrade", "--help").out)
    assert {"--matrix", "--apply"} <= {*upgrade["Options"]}
    assert "--ca-file" in upgrade["Connection to the cluster"]
    assert [*shown(crossalign("compare", "--help").out)] == ["Arguments", "Options"]


def test_every_option_of_a_section_exists(crossalign: Any) -> None:  # noqa: ARG001 - its environment
    known = {option for name in COMMANDS for one in GROUP.commands[name].params for option in one.opts}
    named = {f"--{option}" for names in SECTIONS.values() for option in names.split()}
    assert named - known == set()

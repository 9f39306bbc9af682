"""The help of commands with many options, in sections."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING

from typer.core import TyperCommand

if TYPE_CHECKING:
    import typer

_MANY = 20
"""A command with more options shows them in sections."""

SECTIONS = {
    "Documents, queries and judgments": (
        "documents queries document-vectors query-vectors qrels workbench beir split store results run-order count "
        "relevance-level query-language detect-languages expand-groups skip-invalid"
    ),
    "Live index": (
        "index profile config live live-fields request request-size pipeline id-field depth filter sample probes "
        "exact max-load concurrent batch dry-run accept-model state resume"
    ),
    "Fields": (
        "embedding-field vector-fields keep-fields language-field language-map group-field content-field title-field "
        "url-field"
    ),
    "Model": (
        "model embedder precision backend max-tokens similarity query-prompt document-prompt query-prefix "
        "document-prefix pooling trust-remote-code local-files-only"
    ),
    "Pools and measures": "languages pairs scenario measures seed samples",
    "Gate": "fail-on ties fail-if-worse-than tolerance own-first keep-own-first no-gate",
    "Output": "stamp json report markdown junit csv run run-depth qrels-out metrics ndjson no-texts quiet",
    "Connection to the cluster": (
        "hosts auth user password-file token-file api-key-file ca-file client-certificate client-key verify-tls "
        "aws-region aws-service timeout patience"
    ),
}
"""Options of several commands by section, in their order. Those of a single command come first, under "Options"."""

_PLACES = {
    f"--{name}": (section, place) for section, names in SECTIONS.items() for place, name in enumerate(names.split())
}


class SectionedCommand(TyperCommand):
    """A command whose help shows many options in sections."""

    def format_options(self, ctx: typer.Context, formatter: typer.HelpFormatter) -> None:  # type: ignore[name-defined,override]
        """Write the arguments and options of the command.

        :param ctx: context of the call.
        :param formatter: where to write.
        """
        parameters = self.get_params(ctx)
        many = sum(parameter.param_type_name == "option" for parameter in parameters) > _MANY
        sections: dict[str, list[tuple[int, tuple[str, str]]]] = {
            name: [] for name in ("Arguments", "Options", *SECTIONS)
        }
        for parameter in parameters:
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            if parameter.param_type_name == "argument":
                # Without the Python type that Typer adds.
                sections["Arguments"].append((0, (parameter.metavar or str(parameter.name), record[1])))
                continue
            section, place = _PLACES.get(parameter.opts[0], ("Options", 0)) if many else ("Options", 0)
            sections[section].append((place, record))
        for name, records in sections.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl([record for _, record in sorted(records, key=itemgetter(0))])

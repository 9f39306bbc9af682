"""The package as it is imported and installed: light, registered with Haystack, typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata, resources
from pathlib import Path

import pytest

HEAVY = ("haystack", "torch", "transformers", "sentence_transformers", "numpy", "langcodes")


def python(code: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**{k: v for k, v in os.environ.items() if k != "HAYSTACK_DESERIALIZATION_ALLOWLIST"}, **environment},
    )


@pytest.mark.parametrize("module", ["haystack_crossalign", "haystack_crossalign.cli.main"])
def test_importing_stays_light(module: str) -> None:
    done = python(f"import sys, {module}; print(*[name for name in {HEAVY} if name in sys.modules])")
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom haystack_crossalign.cli.main import main\ntry:\n    main(sys.argv[1:] or ['--help'])\n"
        f"except SystemExit:\n    print('HEAVY', *[name for name in {HEAVY} if name in sys.modules])"
    )
    done = python(code)
    assert "audit" in done.stdout
    assert done.stdout.splitlines()[-1].split() == ["HEAVY"]


@pytest.mark.process
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_an_audit_of_given_vectors_imports_no_model_and_no_haystack(tmp_path: Path, similarity: str) -> None:
    documents, queries = tmp_path / "documents.jsonl", tmp_path / "queries.jsonl"
    documents.write_text(
        "".join(
            json.dumps(
                {"id": f"{language}{group}", "text": "a", "language": language, "parallel_id": str(group)}
                | {"embedding": [1 + group, number, 1]}
            )
            + "\n"
            for group in range(4)
            for number, language in enumerate(("en", "zh"))
        )
    )
    queries.write_text(
        json.dumps({"id": "q", "text": "a", "language": "en", "parallel_id": "1", "embedding": [1, 1, 1]}) + "\n"
    )
    arguments = ["audit", "--documents", str(documents), "--queries", str(queries), "--similarity", similarity]
    loaded = [name for name in HEAVY if name not in ("numpy", "langcodes")]
    code = (
        f"import sys\nfrom haystack_crossalign.cli.main import main\ntry:\n    main({arguments})\n"
        f"except SystemExit as end:\n    print('HEAVY', end.code, *[name for name in {loaded} if name in sys.modules])"
    )
    done = python(code)
    assert "Max@R" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1].split() == ["HEAVY", "0"]


@pytest.mark.process
def test_wrong_input_is_told_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    (tmp_path / "line.jsonl").write_text('{"id": "a", "text": "x"}\n')
    (tmp_path / "job.yaml").write_text("name: x\nkeep: 0\n")
    (tmp_path / "recipe.yaml").write_text("model: m\nnonsense: 1\n")
    commands = [
        "audit --documents line.jsonl --queries line.jsonl --model m",
        "benchmark xquad --data missing --languages en,zh --model m",
        "compare missing.json line.jsonl",
        "repair --model m --parallel line.jsonl --output out",
        "retrain --config job.yaml",
        "train --recipe recipe.yaml --output out",
        "triplets build --documents line.jsonl --languages en,zh --output out",
        "upgrade --index a --matrix missing",
    ]
    code = (
        "import sys\nfrom haystack_crossalign.cli.main import main\n"
        f"for command in {commands}:\n    try:\n        main(command.split())\n"
        "    except SystemExit as end:\n"
        f"        print(end.code, *[name for name in {HEAVY[:4]} if name in sys.modules])"
    )
    done = python(code, cwd=tmp_path)
    assert done.stdout.splitlines() == ["2"] * len(commands), done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == len(commands)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.yaml", "line.jsonl", "recipe.yaml"]


def test_importing_registers_with_haystacks_allow_list_once_and_keeps_what_was_there() -> None:
    code = (
        "import os, importlib, haystack_crossalign; importlib.reload(haystack_crossalign); "
        "print(os.environ['HAYSTACK_DESERIALIZATION_ALLOWLIST'])"
    )
    assert python(code).stdout.strip() == "haystack_crossalign.*"
    kept = python(code, HAYSTACK_DESERIALIZATION_ALLOWLIST="mine.*, other").stdout.strip()
    assert kept == "mine.*,other,haystack_crossalign.*"


@pytest.mark.process
def test_a_pipeline_naming_a_component_loads_after_the_import_alone() -> None:
    pipeline = (
        "components: {auditor: {type: haystack_crossalign.components.language_bias_auditor.LanguageBiasAuditor, "
        "init_parameters: {}}}"
    )
    code = f"import haystack_crossalign; from haystack import Pipeline; print(Pipeline.loads({pipeline!r}).to_dict())"
    done = python(code, HAYSTACK_TELEMETRY_ENABLED="False")
    assert "LanguageBiasAuditor" in done.stdout, done.stderr
    without = python(code.replace("import haystack_crossalign; ", ""), HAYSTACK_TELEMETRY_ENABLED="False")
    assert "not on the trusted-module allowlist" in without.stderr


def test_the_command_line_switches_haystacks_telemetry_off() -> None:
    code = (
        "import os\nfrom haystack_crossalign.cli.main import main\ntry:\n    main(['--version'])\n"
        "except SystemExit:\n    print(os.environ['HAYSTACK_TELEMETRY_ENABLED'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "HAYSTACK_TELEMETRY_ENABLED"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["crossalign", metadata.version("haystack-crossalign"), "False"]


def test_the_package_says_that_it_is_typed_and_ships_its_schema_and_sample() -> None:
    root = resources.files("haystack_crossalign")
    sample = ("sample/documents.jsonl", "sample/queries.jsonl", "sample/languages.jsonl")
    for name in ("py.typed", "schemas/audit-1.schema.json", *sample):
        assert root.joinpath(name).is_file(), name

"""Audits a live index from nothing: a real OpenSearch, the package's sample in it, and `crossalign audit --index prod`.

    python tools/demo_live.py

The sample goes through ``pipelines/index.yaml`` into the index ``prod-1`` behind the alias ``prod``, embedded with the
copy of multilingual-e5-small that needs no model hub. The server is stopped and removed at the end, or with Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from opensearch_assembly import VERSIONS
from opensearch_server import OpenSearchServer, SetupError

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
INDEX, ALIAS = "prod-1", "prod"
OPTIONS = ("--title-field", "title", "--url-field", "url", "--live", "knn,bm25,hybrid")
MODEL = "offline:multilingual-e5-small"


def fill(server: OpenSearchServer, contents: int | None) -> int:
    """Write the sample into the index, and point the alias at it.

    :param server: a running server.
    :param contents: number of articles, in all their languages; None for all.
    :returns: number of documents written.
    """
    from haystack import Document, Pipeline

    from haystack_crossalign.data.sample import sample_folder

    with (sample_folder() / "documents.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    groups = set(list(dict.fromkeys(row["parallel_id"] for row in rows))[:contents])
    documents = [
        Document(id=row.pop("id"), content=row.pop("text"), meta=row) for row in rows if row["parallel_id"] in groups
    ]
    with (ROOT / "pipelines" / "index.yaml").open(encoding="utf-8") as file:
        pipeline = Pipeline.load(file)
    written = int(pipeline.run({"tagger": {"documents": documents}})["writer"]["documents_written"])
    pipeline.close()
    server.request("POST", "/_aliases", {"actions": [{"add": {"index": INDEX, "alias": ALIAS}}]})
    return written


def audit(report: Path) -> int:
    """Run ``crossalign audit --index prod`` as a person would, and answer with its exit code.

    The model is not named: the index knows it.
    """
    report.parent.mkdir(parents=True, exist_ok=True)
    command = [str(Path(sys.executable).with_name("crossalign")), "audit"]
    command += ["--index", ALIAS, *OPTIONS, "--report", str(report)]
    environment = {
        name: value for name, value in os.environ.items() if name not in {"CROSSALIGN_INDEX", "CROSSALIGN_MODEL"}
    }
    return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603


def main(arguments: list[str] | None = None) -> int:
    """Start the server, fill it, audit it, and stop it.

    :returns: 0; 3 where the server cannot be had; else the exit code of the audit. 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(description="Audit a live index with the sample that ships with the package.")
    parser.add_argument("--version", choices=sorted(VERSIONS), default="3.6.0", help="version of OpenSearch")
    parser.add_argument("--contents", type=int, metavar="N", help="only the first N articles of the sample")
    parser.add_argument("--report", type=Path, default=Path("demo/live-report.html"), metavar="FILE")
    parser.add_argument("--model", default=MODEL, metavar="NAME")
    options = parser.parse_args(arguments)
    if options.contents is not None and options.contents < 1:
        parser.error("--contents: at least 1")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        print(f"Starting OpenSearch {options.version} …", flush=True)
        with OpenSearchServer(options.version, quick=True) as server:
            os.environ |= {
                "CROSSALIGN_HOSTS": server.url,
                "CROSSALIGN_INDEX": INDEX,
                "CROSSALIGN_MODEL": options.model,
                "HAYSTACK_TELEMETRY_ENABLED": "False",
            }
            print(f"{server.url}; embedding the sample into '{INDEX}' …", flush=True)
            start = time.monotonic()
            written = fill(server, options.contents)
            print(f"{written} documents behind the alias '{ALIAS}' ({time.monotonic() - start:.0f} s).", flush=True)
            print(f"$ crossalign audit --index {ALIAS} {' '.join(OPTIONS)}", flush=True)
            code = audit(options.report)
            if code == 0:
                print(f"The report: {options.report.resolve()}", flush=True)
            return code
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

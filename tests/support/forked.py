"""Runs Python programs in processes of their own that need not import torch and its kind first: seven seconds each.

``forked.py serve ADDRESS`` has imported them, and nothing of this project. ``forked.py ADDRESS -m PROGRAM …`` takes the
place of ``python -m PROGRAM …``, also in a shell: it hands its folder, environment, limits and standard files to the
server, whose forked child runs the program at the top level of the interpreter. It passes signals on and ends as the
program ended; killed, it takes the program with it.

Not for tests of what happens while Python starts, nor of what a program imports.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import sys
import tempfile
import warnings
from pathlib import Path

HEAVY = (
    *("torch", "transformers", "sentence_transformers", "datasets", "haystack", "haystack.components.builders"),
    *("typer", "opensearchpy", "langcodes"),
)
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
LENGTH = 8


def ask(address: str, arguments: list[str]) -> None:
    """Have the server run a program, and end as it ended.

    :param address: of the server.
    :param arguments: what follows ``python`` on the command line.
    """
    request = {
        "arguments": arguments,
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
        "largest_file": resource.getrlimit(resource.RLIMIT_FSIZE),
    }
    message = json.dumps(request).encode()
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)  # until there is somebody to pass them on to
    with socket.socket(socket.AF_UNIX) as line, line.makefile("rb") as answers:
        line.connect(address)
        socket.send_fds(line, [len(message).to_bytes(LENGTH, "big")], [0, 1, 2])
        line.sendall(message)
        child = int(answers.readline())
        for number in PASSED_ON:
            signal.signal(number, lambda number, _: os.kill(child, number))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        status = os.waitstatus_to_exitcode(int(answers.readline()))
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def serve(address: str) -> list[str]:
    """Fork a child for each request; returns in the child, with the arguments of its program."""
    import gc
    import importlib
    import selectors

    for name in HEAVY:
        importlib.import_module(name)
    sys.modules["langcodes"].Language.get("en").display_name()  # reads the names of all languages
    gc.collect()
    gc.freeze()  # else the first collection of each child would copy the pages of all that is here
    sys.modules.pop("__main__")
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    ready = selectors.DefaultSelector()
    for file in (0, woken, listener):
        ready.register(file, selectors.EVENT_READ)
    os.write(1, b"ready\n")
    # The standard files of a program are kept until it is dead: who reads them to their end knows then that it is.
    running: dict[int, tuple[socket.socket, list[int]]] = {}
    while True:
        for key, _ in ready.select():
            if key.fileobj == 0:
                os._exit(0)
            elif key.fileobj == woken:
                os.read(woken, 4096)
                while running:
                    child, status = os.waitpid(-1, os.WNOHANG)
                    if not child:
                        break
                    line, files = running.pop(child)
                    ready.unregister(line)
                    with contextlib.suppress(BrokenPipeError):
                        line.sendall(f"{status}\n".encode())
                    for end in (line.detach(), *files):
                        os.close(end)
            elif key.fileobj is listener:
                line, _address = listener.accept()
                length, files, *_ = socket.recv_fds(line, LENGTH, 3)
                with line.makefile("rb") as incoming:
                    request = json.loads(incoming.read(int.from_bytes(length, "big")))
                child = os.fork()
                if not child:
                    ready.close()
                    signal.set_wakeup_fd(-1)
                    for end in (woken, wake, listener.detach(), line.detach()):
                        os.close(end)
                    for other, kept in running.values():
                        for end in (other.detach(), *kept):
                            os.close(end)
                    become(request, files)
                    return list(request["arguments"])
                running[child] = line, files
                ready.register(line, selectors.EVENT_READ, child)
                with contextlib.suppress(BrokenPipeError):
                    line.sendall(f"{child}\n".encode())
            elif key.data in running:  # nothing is sent on this line: whoever asked is gone
                os.kill(key.data, signal.SIGKILL)


def become(request: dict[str, object], files: list[int]) -> None:
    """Take on what a process inherits."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None  # decided anew from the environment
    sys.stdout.reconfigure(line_buffering=sys.stdout.isatty() or "PYTHONUNBUFFERED" in os.environ)
    resource.setrlimit(resource.RLIMIT_FSIZE, request["largest_file"])
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    if action := os.environ.get("PYTHONWARNINGS"):
        warnings.simplefilter(action)  # type: ignore[arg-type]
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [*filter(None, paths), *(path for path in sys.path if path not in INHERITED)]


def run(arguments: list[str]) -> None:
    """Run a program as ``python ARGUMENTS`` does."""
    import runpy

    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        sys.path.insert(0, "")
        exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})  # noqa: S102
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(arguments[0]).parent))
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        INHERITED = {sys.path.pop(0), *os.environ.get("PYTHONPATH", "").split(os.pathsep)}
        run(serve(sys.argv[2]))
    else:
        ask(sys.argv[1], sys.argv[2:])

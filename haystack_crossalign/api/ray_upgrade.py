"""An upgrade shared by the workers of a Ray cluster (extra ``ray``).

Ray starts the workers, spreads them over the nodes and starts a lost one again. What is done and what is not stands in
the ledger in OpenSearch, as for `--slice`: a worker that takes the place of a lost one goes on with what is left.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError
from haystack_crossalign.opensearch.connection.connect import open_client
from haystack_crossalign.opensearch.connection.settings import SECRETS, LiveSettings, variable_of
from haystack_crossalign.upgrade.front import already_done, run_upgrade
from haystack_crossalign.upgrade.options import UpgradeOptions
from haystack_crossalign.upgrade.outcome import Outcome

if TYPE_CHECKING:
    from haystack_crossalign.api.gate import Gate, GateResult
    from haystack_crossalign.opensearch.connection.client import ReadOnlyClient
    from haystack_crossalign.upgrade.ways import NewVectors

LOCAL = "local"
"""Address of a Ray of one's own on this machine."""

_RETRIES = 20
_STORE = 128 * 2**20
_FAREWELL = 60.0


@dataclass(frozen=True)
class SharedUpgrade:
    """What every worker is sent.

    :param settings: the OpenSearch cluster, and the alias.
    :param new: source of the new vectors: a matrix, or what opens a model. That is called by each worker, so that the
        model is loaded where it computes.
    :param options: the user's choices; each worker gets a ``part`` of its own.
    :param gate: makes the gate for the worker that leads; None for no gate.
    :param environment: variables that hold the secrets of the connection. They travel as data, since Ray shows the
        environment of a task to everybody who can open its dashboard.
    """

    settings: LiveSettings
    new: NewVectors | Callable[[], NewVectors]
    options: UpgradeOptions
    gate: Callable[[ReadOnlyClient, NewVectors], Gate | None] | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Workers:
    """What Ray is asked for.

    :param count: number of workers.
    :param address: of the Ray cluster, as ``ray.init`` takes it; ``local`` starts one on this machine.
    :param cpus: processors of a worker.
    :param gpus: accelerators of a worker; parts of one are possible.
    """

    count: int = 2
    address: str = LOCAL
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.count < 1 or self.cpus < 0 or self.gpus < 0:
            raise InputError(
                "out of range", source="Ray workers", seen=(self.count, self.cpus, self.gpus), allowed="one or more"
            )


@dataclass(frozen=True)
class Shared:
    """What a shared upgrade came to.

    :param outcome: that of the worker that led.
    :param gate: result of the gate; None if there was none, or the upgrade did not come to it.
    :param processes: host and process id of the workers that ended well.
    :param lost: messages of the workers that did not.
    """

    outcome: Outcome
    gate: GateResult | None
    processes: tuple[str, ...]
    lost: tuple[str, ...]


class WorkerFailedError(CrossAlignError):
    """A worker ended with an error, which keeps its exit code."""

    def __init__(self, message: str, exit_code: int = 3) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def connection_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """Those variables of an environment that hold a secret of the connection, for `SharedUpgrade`."""
    names = [variable_of(name) for name in SECRETS]
    return {name: environ[name] for name in names if environ.get(name)}


def upgrade_on_ray(
    shared: SharedUpgrade,
    workers: Workers,
    *,
    tell: Callable[[int, int], None] = lambda _, __: None,
) -> Shared:
    """Run an upgrade, or go on with one, on the workers of a Ray cluster.

    The package must be installed on its nodes, in this version. A worker that is lost with its process or node is
    started again up to 20 times; one that ends with an error is not, and the others make up for it.

    :param shared: the upgrade.
    :param workers: how many, where, and what each takes.
    :param tell: called with the number of workers that have ended, and of all.
    :raises InputError: if Ray is not installed, cannot be reached, or has too little for one worker.
    :raises WorkerFailedError: if no worker ended well; the alias was not switched.
    """
    ray = _ray()
    started = not ray.is_initialized()
    if started:
        _start(ray, workers)
    try:
        _refuse_too_little(ray, workers)
        part = ray.remote(
            num_cpus=workers.cpus, num_gpus=workers.gpus, max_retries=_RETRIES, scheduling_strategy="SPREAD"
        )(_run_part)
        shared_ref = ray.put(shared)
        tasks = [part.remote(shared_ref, number, workers.count) for number in range(1, workers.count + 1)]
        try:
            return _gathered(ray, tasks, tell)
        except BaseException:
            # As Ctrl-C does it: each gives its leases back, so that nobody has to wait for them.
            for task in tasks:
                ray.cancel(task, force=False)
            ray.wait(tasks, num_returns=len(tasks), timeout=_FAREWELL)
            raise
    finally:
        if started:
            ray.shutdown()


@dataclass(frozen=True)
class _Part:
    process: str
    outcome: Outcome | None = None
    gate: GateResult | None = None
    failed: tuple[str, int] | None = None


def _run_part(shared: SharedUpgrade, number: int, of: int) -> _Part:
    """The work of one worker."""
    from haystack_crossalign.upgrade.records.owner import this_owner

    owner = this_owner()
    process = f"{owner['host']}:{owner['pid']}"
    try:
        client = open_client(shared.settings, shared.environment)
        try:
            alias = shared.settings.index
            options = replace(shared.options, part=(number, of))
            new = shared.new() if callable(shared.new) else shared.new
            outcome = already_done(client, alias, new, options)
            gate = None
            if outcome is None:
                gate = None if shared.gate is None else shared.gate(client, new)
                if gate is not None:
                    gate.check()
                outcome = run_upgrade(client, alias, new, options, before_switch=gate)
            return _Part(process, outcome, None if gate is None else gate.result)
        finally:
            client.close()
    except CrossAlignError as error:
        # Not raised: errors with several parts do not survive the way through Ray.
        return _Part(process, failed=(str(error), error.exit_code))


def _gathered(ray: Any, tasks: Sequence[Any], tell: Callable[[int, int], None]) -> Shared:
    parts: list[_Part] = []
    lost: list[str] = []
    pending = list(tasks)
    while pending:
        tell(len(tasks) - len(pending), len(tasks))
        ready, pending = ray.wait(pending, timeout=1.0)
        for task in ready:
            try:
                parts.append(ray.get(task))
            except ray.exceptions.RayTaskError:
                raise  # a fault of the program
            except ray.exceptions.RayError as error:
                lost.append(f"a worker was lost more than {_RETRIES} times ({type(error).__name__})")
    failed = [part.failed for part in parts if part.failed is not None]
    lost += [message for message, _ in failed]
    ended = [(part, part.outcome) for part in parts if part.outcome is not None]
    if not ended:
        raise WorkerFailedError(lost[0], failed[0][1] if failed else ExternalError.exit_code)
    # Those that follow say how far it was when they ended; the one that leads says how it ended.
    part, outcome = min(ended, key=lambda one: (one[1].state != "switched", one[1].follows))
    if outcome.follows:
        raise WorkerFailedError(lost[0] if lost else "no worker led the upgrade", failed[0][1] if failed else 3)
    gate = next((one.gate for one, _ in ended if one.gate is not None), part.gate)
    return Shared(outcome, gate, tuple(one.process for one, _ in ended), tuple(lost))


def _ray() -> Any:
    # Ray reports its use over the network unless this is said before it is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise InputError(
            "sharing an upgrade by Ray needs Ray; install it: pip install 'haystack-crossalign[ray]'", source="--ray"
        ) from None
    return ray


def _start(ray: Any, workers: Workers) -> None:
    more: dict[str, Any] = {"address": workers.address}
    if workers.address == LOCAL:
        cpus = max(1, math.ceil(workers.count * workers.cpus))
        more |= {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": _STORE}
    try:
        ray.init(log_to_driver=False, logging_level="error", **more)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ExternalError(f"no Ray at '{workers.address}': {error}") from None


def _refuse_too_little(ray: Any, workers: Workers) -> None:
    """Reject what no node has, since Ray would wait for it for ever. A local Ray gets no further nodes."""
    if workers.address != LOCAL:
        return
    there = ray.cluster_resources()
    for name, wanted in (("CPU", workers.cpus), ("GPU", workers.gpus)):
        if wanted > there.get(name, 0.0):
            raise InputError(
                "more than this machine has", source="Ray workers", field=name, seen=wanted, allowed=there.get(name, 0)
            )

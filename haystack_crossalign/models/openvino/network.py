"""The transformer of a model, computed by OpenVINO in streams of one thread each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

import torch

from haystack_crossalign.errors import CrossAlignError, ExternalError, InputError
from haystack_crossalign.models.openvino.conversion import Features, converted, input_names
from haystack_crossalign.models.openvino.package import import_openvino
from haystack_crossalign.precision import ResolvedPrecision

_REQUEST = "openvino_request"
_Rows = TypeVar("_Rows")


def check_options(precision: ResolvedPrecision, wanted: str, device: str | None) -> ResolvedPrecision:
    """Check, before a model is loaded, that OpenVINO is there and can compute as wanted.

    :param precision: the precision in which torch would compute.
    :param wanted: the precision that the user named.
    :param device: the torch device that the user named.
    :returns: the precision in which OpenVINO computes.
    :raises InputError: for a device other than the CPU, or for bf16 on a processor without it.
    :raises ExternalError: if the package is missing.
    """
    if device is not None and torch.device(device).type != "cpu":
        raise InputError(
            "the backend openvino computes on the CPU", field="device", seen=device, allowed="cpu, or the backend torch"
        )
    capabilities = import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "fp32" or "BF16" in capabilities:
        return precision
    if wanted == "bf16":
        raise InputError(
            "this processor has no bf16 for the backend openvino",
            field="precision",
            seen=wanted,
            allowed="auto, fp32",
        )
    return "fp32"


class OpenVinoTransformer:
    """Takes the place of a transformer's ``forward``.

    Each stream has one thread, so no thread waits for another within a batch; as many batches are computed at a time as
    torch has threads. Each batch is computed by one thread, so its vectors do not depend on the others.

    ``streams`` is the number of batches computed at a time.

    :param model: the ``openvino.Model``.
    :param precision: ``"bf16"`` or ``"fp32"``.
    """

    def __init__(self, model: Any, precision: ResolvedPrecision) -> None:
        self.streams = torch.get_num_threads()
        self._model = model
        self._options = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "NUM_STREAMS": self.streams,
            "INFERENCE_NUM_THREADS": self.streams,
            # A thread that is bound to a core cannot move away from another process.
            "ENABLE_CPU_PINNING": False,
        }
        self._compile()

    def _compile(self) -> None:
        compiled = import_openvino().Core().compile_model(self._model, "CPU", self._options)
        # One more than there are streams, so that each finds its next batch waiting.
        self._requests = [compiled.create_infer_request() for _ in range(self.streams + 1)]
        self._free = list(range(len(self._requests)))
        self._failed = False

    def started(self, batches: Iterable[tuple[_Rows, Features]]) -> Iterator[tuple[_Rows, Features]]:
        """The same batches in the same order, each with those after it being computed meanwhile.

        :param batches: anything with the features of the batch, which are to be passed to the model before the next
            batch is asked for.
        """
        self._reset()
        waiting: deque[tuple[_Rows, Features]] = deque()
        for rows, features in batches:
            self._start(features)
            waiting.append((rows, features))
            if len(waiting) == len(self._requests):
                yield waiting.popleft()
        yield from waiting

    def __call__(self, features: Features, **_: Any) -> Features:
        """Add ``token_embeddings``, float32 [n, tokens, hidden], to the features of a batch."""
        if _REQUEST not in features:
            self._start(features)
        place = features.pop(_REQUEST)
        request = self._requests[place]
        self._wait(place)
        features["token_embeddings"] = torch.from_numpy(request.get_output_tensor(0).data.copy())
        self._free.append(place)
        return features

    def _start(self, features: Features) -> None:
        place = self._free.pop()
        values = [features[name].numpy() for name in input_names(features)]
        self._requests[place].start_async(dict(enumerate(values)))
        features[_REQUEST] = place

    def _wait(self, place: int) -> None:
        try:
            self._requests[place].wait()
        except RuntimeError:
            self._failed = True
            raise

    def _reset(self) -> None:
        """Finish what an earlier call left behind, because it failed or its caller stopped early.

        A batch is never cancelled, and after one that failed the model is compiled anew: with lengths that vary,
        OpenVINO 2026.4 keeps from a batch that it did not finish what it had worked out of its shape, and may then give
        the vectors of an earlier batch for one of that shape.
        """
        for place in set(range(len(self._requests))) - set(self._free):
            with suppress(RuntimeError):
                self._wait(place)
            self._free.append(place)
        if self._failed:
            self._compile()


def use_openvino(
    model: Any, name: str, precision: ResolvedPrecision, *, sha256: str | None, own_code: bool
) -> OpenVinoTransformer:
    """Have OpenVINO compute the transformer of a model; its weights in torch are dropped.

    :param model: the loaded model in float32, changed in place.
    :param name: its name, for messages.
    :param precision: as `check_options` returned it.
    :param sha256: of its weights, if known.
    :param own_code: whether the model may run code of its own.
    :raises ExternalError: if it cannot be converted.
    """
    try:
        network = converted(
            model[0],
            lambda texts: dict(model.preprocess(texts, task="document")),
            sha256=sha256,
            keep=not own_code,
        )
        compiled = OpenVinoTransformer(network, precision)
    except Exception as error:
        # Converting runs the code of three libraries on any model.
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        if isinstance(error, CrossAlignError) and error.__cause__ is not None:
            raise
        raise ExternalError(
            f"the model {name} cannot be used with the backend openvino: {reason[:400]}; use the backend torch"
        ) from error
    for tensor in (*model[0].parameters(), *model[0].buffers()):
        tensor.data = tensor.new_empty(0)
    model[0].forward = compiled
    return compiled

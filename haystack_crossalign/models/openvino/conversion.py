"""Convert the transformer of a model to OpenVINO, once: the converted one is kept in the cache."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from haystack_crossalign.errors import ExternalError
from haystack_crossalign.files.checked_folder import make_once
from haystack_crossalign.models.direct.network import Transformer
from haystack_crossalign.models.offline import cache_folder, weights_file_sha256
from haystack_crossalign.models.openvino.package import import_openvino, without_statistics

Features = dict[str, Any]
Preprocess = Callable[[list[str]], Features]

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""Features that the transformer may take, in the order of the inputs of the converted one."""

# Increment it when the conversion below changes.
_CONVERTER = 1
_FILE = "model.xml"
# Relative difference of the vectors of tokens from those of torch, both in float32. Seen were 1e-6; a conversion that
# has the length of its example built in is off by far more.
_TOLERANCE = 1e-3
# Texts of several lengths: those it is converted with, and others to compare with torch.
_EXAMPLES = (["a a a a a a", "a a"], ["a a a", "a a a a a a a a a a", "a"])


def converted(module: nn.Module, preprocess: Preprocess, *, sha256: str | None, keep: bool) -> Any:
    """The transformer as an ``openvino.Model``, from the cache or converted now.

    :param module: the first module of a model: takes and returns features, in float32 on the CPU.
    :param preprocess: the tokens of texts.
    :param sha256: of the weights of the model, if known.
    :param keep: whether to use the cache; not for a model with code of its own, which no digest identifies.
    :raises ExternalError: if it cannot be converted, gives other vectors than torch, or the cache cannot be written.
    """
    core = import_openvino().Core()
    example, other = (preprocess(list(texts)) for texts in _EXAMPLES)
    names = input_names(example)
    if not names:
        raise ExternalError(f"its first module, {type(module).__name__}, is no transformer")
    if not keep:
        model = _convert(module, names, example)
        _compare(core, model, module, names, other)
        return model

    def write(folder: Path) -> None:
        model = _convert(module, names, example)
        _compare(core, model, module, names, other)
        import_openvino().save_model(model, folder / _FILE, compress_to_fp16=False)

    about = _about(module, names, sha256)
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    folder = cache_folder() / f"openvino-{digest[:32]}"
    try:
        make_once(folder, about, write, weights_file_sha256)
    except OSError as error:
        raise ExternalError(
            f"the cache {folder.parent} cannot be written ({error}); set CROSSALIGN_CACHE to a folder that can be"
        ) from error
    return core.read_model(folder / _FILE)


def input_names(features: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the inputs of a transformer, in the order of `INPUTS`; none for a module without tokens and mask.

    :param features: tokens of some texts.
    """
    names = tuple(name for name in INPUTS if isinstance(features.get(name), Tensor) and features[name].ndim == 2)
    return names if names[:2] == INPUTS[:2] else ()


class _Positional(nn.Module):
    """A transformer that takes its inputs one after the other, as a trace needs it."""

    def __init__(self, module: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.module = module
        self._names = names

    def forward(self, *inputs: Tensor) -> Tensor:
        output: Tensor = self.module(dict(zip(self._names, inputs, strict=True)))["token_embeddings"]
        return output


def _convert(module: nn.Module, names: Sequence[str], example: Features) -> Any:
    openvino = import_openvino()
    inputs = tuple(example[name] for name in names)
    # It warns of each branch that the trace takes for good; `_compare` finds those that matter.
    with warnings.catch_warnings(), torch.no_grad(), without_statistics():
        warnings.simplefilter("ignore")
        trace: Any = torch.jit.trace
        traced = trace(_Positional(module, names).eval(), inputs, check_trace=False, strict=False)
        return openvino.convert_model(traced, example_input=inputs)


def _compare(core: Any, model: Any, module: nn.Module, names: Sequence[str], features: Features) -> None:
    """Reject a conversion that gives other vectors than torch for texts other than those it was made with."""
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    seen = torch.from_numpy(compiled([features[name].numpy() for name in names])[0])
    with torch.no_grad():
        expected = _Positional(module, names)(*(features[name] for name in names)).float()
    used = features["attention_mask"].bool()
    difference = float((seen[used] - expected[used]).norm() / expected[used].norm())
    # A vector that is not finite is told of by the encoder, whatever the backend.
    if difference > _TOLERANCE:
        raise ExternalError(f"its vectors differ from those of torch by {difference:.1%}")


def _about(module: nn.Module, names: Sequence[str], sha256: str | None) -> dict[str, Any]:
    """All that the converted transformer depends on, ready for JSON."""
    versions = {"openvino": import_openvino().__version__, "torch": torch.__version__}
    if isinstance(module, Transformer):
        settings = repr(module.network)
    else:
        import sentence_transformers
        import transformers

        versions |= {"sentence-transformers": sentence_transformers.__version__}
        versions |= {"transformers": transformers.__version__}
        config = getattr(getattr(module, "model", None), "config", None)
        settings = f"{type(module).__name__} {module} {config.to_json_string() if config else None}"
        sha256 = None  # that of adapters says nothing of the model below them
    return {
        "weights": sha256 or _weights_sha256(module),
        "settings": hashlib.sha256(settings.encode()).hexdigest(),
        "inputs": list(names),
        "converter": _CONVERTER,
        "versions": versions,
    }


def _weights_sha256(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, values in (*module.named_parameters(), *module.named_buffers()):
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.detach().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()

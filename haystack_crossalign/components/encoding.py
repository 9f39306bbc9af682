"""What the two embedders share: how they make their encoder, and their progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from haystack.utils import ComponentDevice, Secret

if TYPE_CHECKING:
    from haystack_crossalign.models.encoder import Encoder


def make_encoder(
    model: str,
    *,
    device: ComponentDevice | None,
    token: Secret | None,
    precision: str,
    max_tokens: int | None,
    normalize_embeddings: bool | None,
    query_prefix: str | None = None,
    document_prefix: str | None = None,
    trust_remote_code: bool,
    local_files_only: bool,
    revision: str | None,
) -> Encoder:
    """Load the model of a component; the parameters are those of the component."""
    from haystack_crossalign.models.encoder import Encoder

    return Encoder(
        model,
        device=None if device is None else device.to_torch_str(),
        precision=precision,
        max_tokens=max_tokens,
        normalize=normalize_embeddings,
        query_prefix=query_prefix,
        document_prefix=document_prefix,
        revision=revision,
        token=token.resolve_value() if token else None,
        local_files_only=local_files_only,
        trust_remote_code=trust_remote_code,
    )


@contextmanager
def progress(show: bool, label: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on standard error as the stock embedders draw it, or nothing."""
    if not show:
        yield None
        return
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    # None: nothing where standard error is no terminal, since a bar in a log file is noise.
    with tqdm(desc=label, unit="text", disable=None) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report

"""What a user chooses about an upgrade."""

from __future__ import annotations

from dataclasses import dataclass

from haystack_crossalign.errors import InputError


@dataclass(frozen=True)
class UpgradeOptions:
    """Choices besides connection, index and way.

    :param vector_fields: fields that get new vectors.
    :param keep_fields: other vector fields, whose vectors stay those of the old model; all fields must be named, since
        the new index states one model.
    :param keep_old_vectors: whether the fields keep the old vectors, and the new ones go into fields beside them.
    :param content_field: field of the text, for the way that embeds.
    :param title_field: field whose value goes before it, None for none.
    :param language_field: field of the language; documents without one are counted.
    :param max_load: maximum documents per second that are read and written; None for no limit.
    :param accept_model: continue if nothing shows that the index has the base model's vectors.
    :param write_block: block writes for the seconds of the last pass; without it, writes in this time may be lost.
    :param part: number of this process and of all that share the upgrade, from 1; None for one alone.
    :param unit: sequence numbers in a unit of the ledger.
    :param lease: seconds without a heartbeat after which the work of another process is taken over.
    :param small: a pass with at most this many operations, or of a few seconds, is followed by the last one.
    """

    vector_fields: tuple[str, ...] = ("embedding",)
    keep_fields: tuple[str, ...] = ()
    keep_old_vectors: bool = False
    content_field: str = "content"
    title_field: str | None = None
    language_field: str = "language"
    max_load: float | None = None
    accept_model: bool = False
    write_block: bool = True
    part: tuple[int, int] | None = None
    unit: int = 5000
    lease: float = 30.0
    small: int = 1000

    def __post_init__(self) -> None:
        if not self.vector_fields or len(set(self.vector_fields)) < len(self.vector_fields):
            raise InputError("names no field, or one twice", field="vector_fields", seen=self.vector_fields)
        if self.part is not None and not 1 <= self.part[0] <= self.part[1]:
            raise InputError("no part", source="--slice", seen=self.part, allowed="i/n with i from 1 to n")
        if self.unit < 1 or self.lease <= 0:
            raise InputError("out of range", field="unit, lease", seen=(self.unit, self.lease))

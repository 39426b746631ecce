"""Records: the fields of a row, each found without the others."""
from collections.abc import Sequence
from typing import Self

from typing_extensions import Buffer

class RecordCodec:
    """Rows of columns of these kinds (core/values.py Kind, BOOL .. ANY)."""

    def __new__(cls, kinds: Sequence[int]) -> Self: ...
    @property
    def kinds(self) -> tuple[int, ...]:
        """Kinds of the fields."""
    def encode(self, values: Sequence[object]) -> bytes:
        """The record of a list or tuple of values, None for NULL. TypeError: a value is not of its kind's type;
        OverflowError: it is out of range; ValueError: too many or too few."""
    def decode(self, data: Buffer, defaults: Sequence[object] | None = None) -> tuple[object, ...]:
        """All values. Fields the record was written without come from `defaults` (as many as kinds), or are None."""
    def field(self, data: Buffer, index: int, missing: object = None) -> object:
        """One value; `missing` where the record was written without it."""
    def field_count(self, data: Buffer) -> int:
        """How many fields the record was written with."""

"""Key tuples: values as bytes whose order is the order of the values."""
from collections.abc import Sequence
from typing import Self

from typing_extensions import Buffer

class KeyCodec:
    """Keys of columns, each (kind, is_descending, nulls_first); kinds as in core/values.py Kind, BOOL .. ANY."""

    def __new__(cls, columns: Sequence[tuple[int, bool, bool]]) -> Self: ...
    @property
    def columns(self) -> tuple[tuple[int, bool, bool], ...]:
        """What it was made of."""
    def encode(self, values: Sequence[object], count: int | None = None) -> bytes:
        """The key of a list or tuple of values, None for NULL. With `count` only of the first so many: what all keys
        that begin with these values begin with, and no others. TypeError, OverflowError: as RecordCodec.encode."""
    def decode(self, data: Buffer, offset: int = 0) -> tuple[object, ...]:
        """The values of the key that begins at `offset`; what follows it is not looked at. They are equal to what was
        encoded in the order of keys: a decimal comes back without zeros at its end, and a number of kind ANY as an int
        where it is whole and fits 64 bits, else as a float that shows it, else as a Decimal."""
    def skip(self, data: Buffer, offset: int = 0, count: int | None = None) -> int:
        """The offset behind the first `count` values (None: all) of the key that begins at `offset`."""

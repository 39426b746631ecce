"""A filter as a tree of C nodes, tested on encoded documents without the GIL and without Python objects."""
from typing import Any, Self

from typing_extensions import Buffer

class Matcher:
    """A filter, made from a tree of tuples; frontends/document/filters.py makes them. KeyError, TypeError, ValueError:
    the tree is none."""

    def __new__(cls, tree: tuple[Any, ...]) -> Self: ...
    def matches(self, document: Buffer, identity: Buffer | None = None) -> bool:
        """Whether an encoded object matches. `identity`: its field _id, encoded, where it is kept apart.
        CorruptionError: it is no object. What functions in the filter raise is passed on."""
    def find(self, document: Buffer, identity: Buffer | None = None) -> int | None:
        """None: it does not match. Else the position, in the outermost array that the filter went through, of the
        element that matched; -1 where it went through none."""
    def select(self, documents: list[bytes]) -> list[int]:
        """The positions of those that match in a list of encoded objects, in one go without the GIL."""

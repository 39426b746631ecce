"""Python objects to scalar bytes and back."""
from collections.abc import Callable, Mapping
from typing import Any

def register_values(interval_class: type[tuple[int, int, int]], json_null: object) -> None:
    """Gives the class of intervals, a named tuple of months, days and microseconds, and the object that is JSON's null
    where NULL is None."""

def register_document_loader(loader: Callable[[], None]) -> None:
    """Gives the function that imports what calls register_document_classes."""

def register_document_classes(writers: Mapping[type, Callable[[Any], tuple[int, bytes | str]]],
                              readers: Mapping[int, Callable[[Any], object]]) -> None:
    """Gives the classes of object ids and other values that stand in documents only. `writers`: for each class a
    function from a value to its kind and payload; `readers`: for each kind a function from payload to value. The
    payload of a decimal is its text, else it is the bytes of docs/formats.md."""

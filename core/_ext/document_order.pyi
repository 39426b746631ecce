"""The order of documents: classes as in key tuples, numbers by their exact value, NaN before all of them."""
from typing_extensions import Buffer

def compare(a: Buffer, b: Buffer) -> int:
    """-1, 0 or 1: how two documents stand to each other. CorruptionError: one is none."""

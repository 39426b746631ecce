"""CRC-32C for everything on disk, MurmurHash3 for everything in a hash table."""
from typing_extensions import Buffer

def crc32c_of(data: Buffer, crc: int = 0) -> int:
    """CRC-32C of `data`, continuing from `crc`."""

def crc32c_software(data: Buffer, crc: int = 0) -> int:
    """The same without the processor's instruction, so that a test can compare both."""

def hash_of(key: Buffer) -> int:
    """64-bit MurmurHash3; equals `mmh3.hash64(key, 0, signed=False)[0]`."""

def slot_of(key: Buffer) -> int:
    """The slot (0..65535) that owns `key`."""

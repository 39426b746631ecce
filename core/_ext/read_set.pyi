class ReadSetProbe:
    """A read set that tests and tools can reach; the engine uses the C functions."""

    def __init__(self, limit_bytes: int = ..., limit_keys: int = ...) -> None: ...
    def add_key(self, key: bytes, hash_value: int | None = ...) -> None:
        """Remember one key. `hash_value` stands in for its hash, to make keys collide."""
    def begin_range(self, start: bytes, stop: bytes | None = ...) -> int:
        """Remember [start, stop), to the end when `stop` is None; the number to widen it by."""
    def extend_range(self, index: int, stop: bytes | None = ...) -> None:
        """Move the stop of a range up, to the end when `stop` is None."""
    def lower_range(self, index: int, start: bytes) -> None:
        """Move the start of a range down."""
    def keys_read(self) -> list[tuple[bytes, int, int]]:
        """[(key, hash, slot)] in the order of first reading."""
    def ranges_read(self) -> list[tuple[bytes, bytes | None]]:
        """[(start, stop or None)] in the order they began."""
    def arena_bytes(self) -> int:
        """Bytes that hold keys and bounds, lost ones included."""

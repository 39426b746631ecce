class WriteSetProbe:
    """A write set that tests and tools can reach; the engine uses the C functions."""

    def __init__(self, limit_bytes: int = ...) -> None: ...
    def __len__(self) -> int: ...
    def put(self, key: bytes, value: bytes, pointer: bool = ...) -> None:
        """Write `value`, which is a pointer into the value log when `pointer` is set."""
    def delete(self, key: bytes) -> None:
        """Delete one key."""
    def delete_range(self, start: bytes, stop: bytes) -> None:
        """Delete all keys in [start, stop)."""
    def get(self, key: bytes) -> tuple[int, int, bytes] | None:
        """(kind, sequence, value) of the latest own write of `key`, or None."""
    def scan(self) -> WriteSetScan:
        """An iterator over (key, sequence, kind, value): keys ascending, newest write first."""
    def tombstones(self) -> list[tuple[bytes, bytes, int]]:
        """[(start, stop, sequence)] of the own range deletes."""
    def mark(self) -> int:
        """A number for `rollback`."""
    def rollback(self, mark: int) -> None:
        """Forget all writes made since `mark` was taken."""
    def payload(self) -> bytes:
        """The encoded operations in call order, as commit logs them."""
    def index_bytes(self) -> int:
        """Capacity of the index, 0 while there is none."""

class WriteSetScan:
    """Iterator of WriteSetProbe.scan: the writes that were there when it was made."""

    def __iter__(self) -> WriteSetScan: ...
    def __next__(self) -> tuple[bytes, int, int, bytes]: ...

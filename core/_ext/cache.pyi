"""Block cache: one byte budget, second chance, and lookups that take no lock."""

class CacheProbe:
    """A cache with a guard and one array of slots of its own, for tests."""
    def __init__(self, budget: int, slot_count: int, block_bytes: int = 4096) -> None: ...
    @property
    def slot_count(self) -> int: ...
    def insert(self, index: int, data: bytes) -> bytes:
        """Caches `data` in a slot; returns what the slot holds then, or `data` if it is too large to stay."""
    def get(self, index: int) -> bytes | None:
        """The bytes cached in a slot, marked as read, or None."""
    def contains(self, index: int) -> bool:
        """Whether a slot is filled; does not mark the frame as read."""
    def drop(self, start: int, count: int) -> None:
        """Unlinks the frames of `count` slots from `start` on."""
    def charge(self, size: int) -> None:
        """Takes memory outside frames from the budget; negative gives back."""
    def set_budget(self, budget: int) -> None:
        """From now on so many bytes."""
    def synchronize(self) -> None:
        """Frees every evicted frame that nobody holds."""
    def frame_charge(self, size: int) -> int:
        """What a frame of `size` bytes takes from the budget."""
    @property
    def used(self) -> int:
        """Bytes taken from the budget."""
    @property
    def pool_bytes(self) -> int:
        """Memory that pooled frames have from the system."""
    @property
    def inserts(self) -> int:
        """Frames published so far."""
    @property
    def evictions(self) -> int:
        """Frames evicted so far."""
    @property
    def frame_count(self) -> int:
        """Frames on the ring; checks the ring's links on the way."""
    def hammer(self, seed: int, rounds: int, frame_words: int) -> tuple[int, int, int]:
        """Random lookups and inserts without the GIL; returns (hits, misses, damaged frames seen)."""

"""Read guard: frees unlinked memory once nobody can be reading it any more."""

class GuardProbe:
    """A guard of its own, for tests: enter, leave and defer by hand, or hammer it from threads."""
    def enter(self) -> int:
        """Goes inside as a reader; returns the token that leave() takes."""
    def leave(self, token: int) -> None:
        """Leaves; a token may be used once."""
    def defer(self, size: int = 0) -> None:
        """Defers one item that counts itself in `freed`."""
    def poll(self) -> None:
        """Frees what can be freed now."""
    def synchronize(self) -> None:
        """Waits for the readers inside and frees all deferred before the call."""
    @property
    def freed(self) -> int:
        """How many items of defer() have been freed."""
    @property
    def deferred_bytes(self) -> int:
        """Bytes deferred and not freed yet."""
    @property
    def deferred_count(self) -> int:
        """Items deferred and not freed yet."""
    @property
    def parity(self) -> int:
        """The side that new readers take, 0 or 1."""
    def hammer_write(self, rounds: int) -> None:
        """Replaces the shared cell `rounds` times, deferring the old one. One thread at a time."""
    def hammer_read(self, duration_ms: int) -> tuple[int, int]:
        """Reads the shared cell for that long; returns (reads, reads that saw freed memory)."""

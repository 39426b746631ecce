"""Frames: the memory that decoded blocks live in, packed into huge pages."""

def poison_freed_frames(enabled: bool) -> None:
    """Overwrites frames before they are freed, so that a use after it shows. For tests; off by default."""

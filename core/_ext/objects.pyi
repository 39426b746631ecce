"""Python objects to scalar bytes and back."""

def register_values(interval_class: type[tuple[int, int, int]], json_null: object) -> None:
    """Gives the class of intervals, a named tuple of months, days and microseconds, and the object that is JSON's null
    where NULL is None."""

def counts() -> dict[str, int] | None:
    """Live objects by kind; None in a build that does not count."""

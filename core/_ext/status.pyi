"""The one place where a status of the core becomes a Python exception."""

def register_exception(status: int, error_class: type[Exception]) -> None:
    """Let `status` be raised as `error_class(message, path=, offset=, errno=)`."""

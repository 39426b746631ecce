"""The one place where a status of the core becomes a Python exception."""
from collections.abc import Callable

def register_exception(status: int, error_class: Callable[..., BaseException]) -> None:
    """Let `status` be raised as `error_class(message, path=, offset=, errno=)`."""

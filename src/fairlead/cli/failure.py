"""What a command ends with when it can't do its work: a sentence and an exit status."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

BAD_INPUT = 2
FAILED = 1


class Failure(Exception):
    """One plain sentence: the thing, the value, the remedy."""

    def __init__(self, sentence: str, status: int = BAD_INPUT) -> None:
        super().__init__(sentence)
        self.status = status


@contextmanager
def failing(*kinds: type[Exception], status: int = BAD_INPUT) -> Iterator[None]:
    """Turn these exceptions, alone in a group of a task group or bare, into a `Failure`."""
    try:
        yield
    except kinds as error:
        raise Failure(str(error), status) from None
    except BaseExceptionGroup as group:
        only = sole(group)
        if isinstance(only, kinds):
            raise Failure(str(only), status) from None
        raise


def sole(error: BaseException) -> BaseException:
    """The one exception in nested groups, or the group if there are several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error

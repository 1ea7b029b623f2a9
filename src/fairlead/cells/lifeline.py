"""Makes a child process end when its parent does, however the parent ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def ends_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """What a child must run before exec to be sent ``number`` when we end (prctl(2), Linux).

    The kernel binds the child to the thread that starts it: start it from the main thread.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it ended before prctl took hold
            os._exit(1)

    return before_exec

"""A run of the load client, watched: its lines come in, the server's process is read at each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio

from fairlead.core import Load
from fairlead.lab.load.lines import Failed, Figures, Line, Progress, decode
from fairlead.lab.load.process import cpu, memory_kib
from fairlead.lab.load.spent import Reading, Readings

LOOK_S = 0.01
"""Between two looks for a line: the clocks of servers are read within it."""


class LoadFailed(Exception):
    """The run could not be; its text is one plain sentence."""

    def __init__(self, sentence: str, status: int = 1) -> None:
        super().__init__(sentence)
        self.status = status


async def run(
    spec: bytes,
    pids: Sequence[int] = (),
    hear: Callable[[Line], None] = lambda line: None,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[Figures, list[Readings]]:
    """Play a spec. Returns its figures and the readings of each process of ``pids``; those of one
    that ends are missing from then on. Once ``stopped``, the figures of what was done until then.

    Raises `LoadFailed`.
    """
    try:
        load = Load(spec)
    except ValueError as error:
        raise LoadFailed(str(error), 2) from None
    readings: list[Readings] = [{} for _ in pids]
    _read("begin", pids, readings)
    told = False
    while True:
        if stopped() and not told:
            told = True
            load.stop()
        text = load.next(0.0)
        if text is None:
            await anyio.sleep(LOOK_S)
            continue
        line = decode(text)
        if not isinstance(line, Progress):
            _read(str(line.__struct_config__.tag), pids, readings)
        hear(line)
        if isinstance(line, Failed):
            raise LoadFailed(line.reason, line.status)
        if isinstance(line, Figures):
            return line, readings


def _read(phase: str, pids: Sequence[int], readings: list[Readings]) -> None:
    for pid, one in zip(pids, readings, strict=True):
        try:
            one[phase] = Reading(at=anyio.current_time(), cpu=cpu(pid), memory_kib=memory_kib(pid))
        except (ProcessLookupError, OSError):
            continue  # it has ended: what follows from it is left out

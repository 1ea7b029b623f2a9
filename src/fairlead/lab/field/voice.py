"""What somebody says in a field test, and how it is found again in a recording."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fairlead.lab.field import counting, speech
from fairlead.lab.field.sound import FRAME, SAMPLE_RATE, Samples

COUNT = "count"
"""The voice of tones that counts; all others are languages."""
MARGIN_S = 90.0
"""That a written voice goes on beyond a run: joining takes a while."""


class Voice(Protocol):
    """Words one after another, each with its place: 0 is the first that is said.

    Seconds are those after the first word was begun.
    """

    def aloud(self) -> Iterator[NDArray[np.int16]]:
        """The voice without end, in pieces of `sound.FRAME` samples."""
        ...

    def said_at(self, place: int) -> float:
        """When a word is begun."""
        ...

    def length_s(self, place: int) -> float:
        """How long it lasts."""
        ...

    def words(self, start: float, end: float) -> list[int]:
        """The places of the words that are begun between two moments."""
        ...

    def heard(self, recording: Samples, after: Callable[[float], float]) -> dict[int, float]:
        """Every word that is in a recording, and at which second of the recording it begins;
        ``after`` says when a second of it was played."""
        ...


def of(name: str) -> Voice:
    """``count``, or a language. Raises `speech.NoSpeech`."""
    return counting.Count() if name == COUNT else speech.of(name)


def names() -> list[str]:
    """All there are."""
    return [COUNT, *speech.languages()]


def written(voice: Voice, path: Path, seconds: float) -> Path:
    """Write what is said in a run of so many seconds, as 16-bit samples; its path."""
    pieces = int((seconds + MARGIN_S) * SAMPLE_RATE / FRAME)
    path.write_bytes(b"".join(one.tobytes() for one in itertools.islice(voice.aloud(), pieces)))
    return path

"""What was heard, to look at and to listen to: loudness over a run, and clips around its event."""

from __future__ import annotations

import io
import wave

import msgspec
import numpy as np

from fairlead.lab.field.measure import Played, recording
from fairlead.lab.field.people import Told
from fairlead.lab.field.sound import SAMPLE_RATE, Samples, thinned, to_pcm

PEAK_S = 0.04
THINNED = 3
"""Of so many samples one is kept in a clip: 16 kHz carry all that the voice says."""
BEFORE_S, AFTER_S = 3.0, 7.0
"""How much of a clip is before the event, and how long one goes on after it."""


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a recording."""

    name: str
    at: float
    """Second of the run at which it begins."""
    wav: bytes


class Sounded(msgspec.Struct, frozen=True, kw_only=True):
    """One direction of a run as it sounded."""

    peaks: list[int]
    """The loudest of each `PEAK_S`, in percent."""
    clips: list[Clip]


def sounded(whole: Samples, event: float | None) -> Sounded:
    """Of what a listener heard, as it was laid out; ``event`` in seconds of it."""
    around = len(whole) / SAMPLE_RATE / 2 if event is None else event
    pieces = [("before", around - BEFORE_S, around), ("after", around, around + AFTER_S)]
    return Sounded(
        peaks=_peaks(whole),
        clips=[
            Clip(name=name, at=round(max(0.0, a), 2), wav=_wav(_cut(whole, a, b)))
            for name, a, b in pieces
        ],
    )


def laid_out(listener: Told, start: float, end: float) -> Samples:
    """What a listener heard between two moments (monotonic): all recordings where they were played;
    nothing is silence. A later track wins."""
    whole = np.zeros(int((end - start) * SAMPLE_RATE))
    for track in listener.heard:
        if not track.marks:
            continue
        samples = recording(track)
        first = round((Played(track)(0.0) - start) * SAMPLE_RATE)
        begin, stop = max(0, first), min(len(whole), first + len(samples))
        if begin < stop:
            whole[begin:stop] = samples[begin - first : stop - first]
    return whole


def _peaks(whole: Samples) -> list[int]:
    step = int(PEAK_S * SAMPLE_RATE)
    count = len(whole) // step
    loudest = np.abs(whole[: count * step]).reshape(count, step).max(axis=1, initial=0.0)
    return [int(value) for value in np.minimum(100, np.round(100 * loudest))]


def _cut(whole: Samples, begin: float, end: float) -> Samples:
    return whole[max(0, int(begin * SAMPLE_RATE)) : max(0, int(end * SAMPLE_RATE))]


def _wav(samples: Samples) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE // THINNED)
        out.writeframes(to_pcm(thinned(samples, THINNED)).tobytes())
    return file.getvalue()

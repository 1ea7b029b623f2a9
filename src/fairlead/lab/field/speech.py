"""People who speak a language: sentences of eSpeak NG, and an ear that finds them in a recording.

What counts as a word here is a voiced stretch of at most `LONGEST_S`: a few sounds that a listener
misses as one. Where it should be is known from when it was said; there it is looked for by
correlation, and the likeliest chain of all that was found wins, for sounds repeat.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fairlead.lab.field.sound import FRAME, SAMPLE_RATE, Samples, likeness, thinned, to_pcm

PROGRAM = "espeak-ng"
SYNTHESIS_S = 20.0
THIN = 6
"""Of so many samples one is kept to look in: 8 kHz carry what tells words apart."""
THIN_RATE = SAMPLE_RATE // THIN
LOUDNESS = 0.1
"""Root mean square of the voice where somebody speaks: -20 dB."""
PAUSE_S = 0.6
STEP_S = 0.01
VOICED_DB = -30.0
"""Under the loudest twentieth, and it is silence."""
BRIDGED_S = 0.04
SHORTEST_S, LONGEST_S = 0.08, 0.3
CLEAR = 0.55
"""A word is taken for heard from this likeness on."""
FAINT_DB = -12.0
"""Fainter than it was said by more than this, and nobody understands it."""
LATEST_S, EARLIEST_S = 2.5, 0.02
"""Mouth to ear within which a word is looked for."""
CANDIDATES, APART_S = 4, 0.005
MISSED, PER_SECOND = 0.1, 4.0
"""What a chain pays for a word that it lacks, and for each second by which the delay changes; it
gains the likeness of each word that it has."""
MEMORY = 200
"""How many candidates back a chain looks for what came before."""


class NoSpeech(Exception):
    """A language can't be spoken here; a sentence."""


class Candidate(NamedTuple):
    """A place in a recording that sounds like a word."""

    place: int
    at: float
    """Seconds in the recording."""
    late: float
    """Mouth to ear, seconds."""
    alike: float


class Sentence(NamedTuple):
    """When it is begun, when it ends (seconds), and what it says."""

    begin: float
    end: float
    text: str


@dataclass(frozen=True)
class Speech:
    """A round of sentences that begins anew at its end; a `Voice`."""

    samples: Samples
    """One round at `SAMPLE_RATE`, from -1 to 1, pauses included; a whole number of `FRAME`."""
    stretches: list[tuple[float, float]]
    """What counts as a word: when it is begun within the round and how long it lasts, seconds."""
    language: str
    sentences: list[Sentence]
    """Of one round."""

    @property
    def round_s(self) -> float:
        """Of one round."""
        return len(self.samples) / SAMPLE_RATE

    def aloud(self) -> Iterator[NDArray[np.int16]]:
        """Round after round, in pieces of `sound.FRAME` samples."""
        pcm = to_pcm(self.samples)
        while True:
            for start in range(0, len(pcm), FRAME):
                yield pcm[start : start + FRAME]

    def said_at(self, place: int) -> float:
        """When a word is begun: seconds after the first round was."""
        rounds, index = divmod(place, len(self.stretches))
        return rounds * self.round_s + self.stretches[index][0]

    def length_s(self, place: int) -> float:
        """Of a word."""
        return self.stretches[place % len(self.stretches)][1]

    def words(self, start: float, end: float) -> list[int]:
        """Those begun between two moments."""
        first = max(0, int(start // self.round_s)) * len(self.stretches)
        last = max(0, int(end // self.round_s) + 1) * len(self.stretches)
        return [place for place in range(first, last) if start <= self.said_at(place) < end]

    def between(self, start: float, end: float) -> Samples:
        """What is said in a stretch of time, seconds after the first round was begun."""
        first = round(start * SAMPLE_RATE)
        index = np.arange(first, first + round((end - start) * SAMPLE_RATE))
        return np.asarray(np.where(index < 0, 0.0, self.samples[index % len(self.samples)]))

    def within(self, start: float, end: float) -> list[Sentence]:
        """The sentences that are begun and ended between two moments."""
        first = max(0, int(start // self.round_s))
        shifted = (
            Sentence(one.begin + n * self.round_s, one.end + n * self.round_s, one.text)
            for n in range(first, max(first, int(end // self.round_s) + 1))
            for one in self.sentences
        )
        return [one for one in shifted if start <= one.begin and one.end <= end]

    def heard(self, recording: Samples, after: Callable[[float], float]) -> dict[int, float]:
        """Every word that is in a recording, and at which second of it."""
        seconds = len(recording) / SAMPLE_RATE
        grid = np.arange(0.0, seconds, STEP_S)
        if not len(grid):
            return {}
        moments = np.maximum.accumulate([after(float(at)) for at in grid])
        thin, thin_voice = thinned(recording, THIN), thinned(self.samples, THIN)
        found: list[Candidate] = []
        for place in self.words(moments[0] - LATEST_S, moments[-1]):
            said = self.said_at(place)
            begin, end = np.interp((said - EARLIEST_S, said + LATEST_S), moments, grid)
            word = _cut(thin_voice, said % self.round_s, self.length_s(place))
            sound = _cut(thin, begin, end - begin + self.length_s(place))
            for peak, alike in _peaks(sound, word):
                at = float(begin) + peak
                found.append(Candidate(place, at, after(at) - said, alike))
        return {one.place: one.at for one in chain(found)}


def chain(found: list[Candidate]) -> list[Candidate]:
    """The likeliest of the candidates (sorted by place) that can all be true: each word once, in
    order, with as little change of delay as explains them. Viterbi's algorithm."""
    scores: list[float] = []
    before: list[int] = []
    for number, one in enumerate(found):
        best, link = 0.0, -1
        for back in range(max(0, number - MEMORY), number):
            other = found[back]
            if other.place < one.place and other.at < one.at:
                lacks = one.place - other.place - 1
                paid = MISSED * lacks + PER_SECOND * abs(one.late - other.late)
                if scores[back] - paid > best:
                    best, link = scores[back] - paid, back
        scores.append(best + one.alike)
        before.append(link)
    chosen = []
    at = int(np.argmax(scores)) if scores else -1
    while at >= 0:
        chosen.append(found[at])
        at = before[at]
    return chosen[::-1]


def languages() -> list[str]:
    """Those that there are sentences in."""
    return list(_texts())


@functools.cache
def of(language: str) -> Speech:
    """Somebody who speaks it. Raises `NoSpeech`."""
    if shutil.which(PROGRAM) is None:
        raise NoSpeech(
            f"{PROGRAM} can't be found, which speaks {language!r} in this scenario: install it"
            " (Debian: espeak-ng), or leave out voice for the one that counts"
        )
    text = _texts()[language]
    spoken = [_synthesis(text["voice"], sentence) for sentence in text["sentences"]]
    pause = np.zeros(int(PAUSE_S * SAMPLE_RATE))
    sentences, at = [], 0
    for one, words in zip(spoken, text["sentences"], strict=True):
        sentences.append(Sentence(at / SAMPLE_RATE, (at + len(one)) / SAMPLE_RATE, words))
        at += len(one) + len(pause)
    samples = np.concatenate([part for sentence in spoken for part in (sentence, pause)])
    samples = np.pad(samples, (0, -len(samples) % FRAME))
    voiced = samples[np.abs(samples) > 0.01 * np.abs(samples).max()]
    samples = samples * LOUDNESS / np.sqrt(np.mean(voiced**2))
    return Speech(samples, stretches(samples), language, sentences)


def stretches(samples: Samples) -> list[tuple[float, float]]:
    """The voiced stretches of at least `SHORTEST_S`, long ones in equal parts of at most
    `LONGEST_S`: when each begins and how long it lasts, seconds."""
    step = int(STEP_S * SAMPLE_RATE)
    count = len(samples) // step
    power = np.mean(samples[: count * step].reshape(count, step) ** 2, axis=1)
    voiced = power > np.percentile(power, 95) * 10 ** (VOICED_DB / 10)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], voiced.astype(int), [0]])))
    runs: list[list[int]] = []
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        if runs and begin - runs[-1][1] <= BRIDGED_S / STEP_S:
            runs[-1][1] = int(end)
        else:
            runs.append([int(begin), int(end)])
    found = []
    for begin, end in runs:
        whole = (end - begin) * STEP_S
        parts = int(np.ceil(whole / LONGEST_S))
        if whole / parts >= SHORTEST_S:
            found += [
                (begin * STEP_S + part * whole / parts, whole / parts) for part in range(parts)
            ]
    return found


def _synthesis(voice: str, sentence: str) -> Samples:
    """A sentence at `SAMPLE_RATE`. Raises `NoSpeech`."""
    try:
        done = subprocess.run(
            [PROGRAM, "-v", voice, "-b", "1", "--stdin", "--stdout"],
            input=sentence.encode(),
            capture_output=True,
            timeout=SYNTHESIS_S,
        )
    except subprocess.TimeoutExpired:
        raise NoSpeech(f"{PROGRAM} did not end within {SYNTHESIS_S:.0f} s") from None
    header = 44  # of a WAV file; its lengths are unknown where it goes to a pipe
    if done.returncode or len(done.stdout) <= header:
        complaint = done.stderr.decode(errors="replace").strip()
        raise NoSpeech(f"{PROGRAM} can't speak with voice {voice!r}: {complaint or 'no sound'}")
    rate = int.from_bytes(done.stdout[24:28], "little")
    body = done.stdout[header : header + (len(done.stdout) - header) // 2 * 2]
    return _resampled(np.frombuffer(body, dtype="<i2") / 32_768, rate)


def _resampled(samples: Samples, rate: int) -> Samples:
    """At `SAMPLE_RATE`, by the spectrum: exact for what is band-limited and ends in silence."""
    common = np.gcd(rate, SAMPLE_RATE)
    padded = np.pad(samples, (0, -len(samples) % (rate // common)))
    count = len(padded) // (rate // common) * (SAMPLE_RATE // common)
    return np.asarray(np.fft.irfft(np.fft.rfft(padded), count) * (count / len(padded)))


def _cut(thin: Samples, begin: float, length: float) -> Samples:
    first = max(0, round(begin * THIN_RATE))
    return thin[first : first + round(length * THIN_RATE)]


def _peaks(sound: Samples, word: Samples) -> Iterator[tuple[float, float]]:
    """Where a sound is most like a word, and how much: the second at which it begins."""
    if len(sound) < len(word):
        return
    alike = likeness(sound, word)
    power = np.concatenate([[0.0], np.cumsum(sound**2)])
    loud = (power[len(word) :] - power[: -len(word)])[: len(alike)]
    alike = np.where(loud >= np.sum(word**2) * 10 ** (FAINT_DB / 10), alike, 0.0)
    apart = int(APART_S * THIN_RATE)
    for _ in range(CANDIDATES):
        at = int(alike.argmax())
        if alike[at] < CLEAR:
            return
        yield at / THIN_RATE, float(alike[at])
        alike[max(0, at - apart) : at + apart + 1] = 0.0


@functools.cache
def _texts() -> dict[str, Any]:
    file = resources.files("fairlead.lab.field").joinpath("speech.toml")
    return tomllib.loads(file.read_text("utf-8"))

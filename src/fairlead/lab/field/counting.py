"""A voice that counts aloud, and an ear that writes down what it heard.

Every digit is a word of its own: six tones in an order that no other digit has. A number is three
digits, 000 to 999. What a recording says is found blindly, by correlation with each of the ten
words; nothing is known to the ear of what was sent or when.
"""

from __future__ import annotations

import difflib
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fairlead.lab.field.sound import FRAME, SAMPLE_RATE, Samples, likeness, to_pcm

TONES = (500.0, 800.0, 1_130.0, 1_500.0, 1_910.0, 2_360.0)
TONE_S = 0.02
WORD_S = TONE_S * len(TONES)
WORD_STEP_S = 0.16
"""From word to word within a number: 40 ms of silence between."""
NUMBER_S = 0.5
AMPLITUDE = 0.4
DIGITS_IN_NUMBER = 3
MATCH, SKIPPED, MISSED, PER_SECOND = 2.0, 1.0, 0.1, 4.0
"""What a chain of matches gains by a word; what it pays for a word heard and not used, for a word
said and not heard, and for a change of delay."""
NEAR_S = 2.5
"""How far the delay may wander from that of the longest run."""
MEMORY_WORDS = 15
"""How many words that nobody said may stand between two that were."""
CLEAR = 0.6
"""A word is taken for heard from this likeness on."""
STRETCH_S = 0.3
"""By how much a word may be drawn out or shortened where a jitter buffer bridges a gap."""
STRETCHED_CLEAR = 0.72
"""The same for a word in two parts: two parts fit by chance more easily than one."""


def _orders() -> list[tuple[int, ...]]:
    """Ten orders of the tones; slide one along another, and at most two tones ever meet."""
    chosen: list[tuple[int, ...]] = []
    dice = random.Random(7)
    while len(chosen) < 10:
        order = tuple(dice.sample(range(len(TONES)), len(TONES)))
        if all(_meetings(order, one) <= 2 for one in chosen):
            chosen.append(order)
    return chosen


def _meetings(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    return max(
        sum(tone == b[place - slide] for place, tone in enumerate(a) if 0 <= place - slide < len(b))
        for slide in range(1 - len(b), len(a))
    )


def _word(order: tuple[int, ...]) -> Samples:
    step = int(TONE_S * SAMPLE_RATE)
    frequency = np.repeat([TONES[tone] for tone in order], step)
    wave = AMPLITUDE * np.sin(2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE)
    t = np.arange(len(wave)) / SAMPLE_RATE
    return np.asarray(wave * np.minimum(1.0, np.minimum(t, t[::-1]) / 0.005))


WORDS: list[Samples] = [_word(order) for order in _orders()]


def digits(number: int) -> list[int]:
    """Of a number, most significant first."""
    return [int(figure) for figure in f"{number % 1000:03}"]


def spoken(number: int) -> Samples:
    """The number aloud, with the pause after it: NUMBER_S of sound."""
    sound = np.zeros(int(NUMBER_S * SAMPLE_RATE))
    for position, digit in enumerate(digits(number)):
        start = int(position * WORD_STEP_S * SAMPLE_RATE)
        sound[start : start + len(WORDS[digit])] = WORDS[digit]
    return sound


def aloud() -> Iterator[NDArray[np.int16]]:
    """000, 001, ... 999, 000, ... without end, in pieces of `sound.FRAME` samples."""
    for number in itertools.cycle(range(1_000)):
        pcm = to_pcm(spoken(number))
        for start in range(0, len(pcm), FRAME):
            yield pcm[start : start + FRAME]


class Word(NamedTuple):
    """A digit that was heard, when in the recording (seconds), and how clearly (0 to 1)."""

    digit: int
    at: float
    likeness: float


def transcribe(recording: Samples) -> list[Word]:
    """Every word in a recording, in order.

    First the clear ones; then, in the stretches between them, words that a jitter buffer has drawn
    out: a head and a tail of one word, in order, with something made up between them.
    """
    length = len(WORDS[0])
    if len(recording) < length:
        return []
    alike = np.stack([likeness(recording, word) for word in WORDS])
    words = _loudest(alike, CLEAR, length)
    edges = [0, *(int(word.at * SAMPLE_RATE) for word in words), len(recording)]
    for index, (start, end) in enumerate(itertools.pairwise(edges)):
        begin = start + (length if index else 0)
        if end - begin >= length // 2:
            words += _drawn_out(recording, begin, end)
    return sorted(words, key=lambda word: word.at)


def _loudest(likeness: Samples, least: float, length: int) -> list[Word]:
    """The likest word first, and none that overlaps with one that was taken."""
    best = likeness.max(axis=0)
    words: list[Word] = []
    while True:
        at = int(best.argmax())
        if best[at] < least:
            return sorted(words, key=lambda word: word.at)
        words.append(Word(int(likeness[:, at].argmax()), at / SAMPLE_RATE, float(best[at])))
        best[max(0, at - length + 1) : at + length] = 0.0


def _drawn_out(recording: Samples, begin: int, end: int) -> list[Word]:
    """Words in two parts within a stretch."""
    slack = int(0.01 * SAMPLE_RATE)
    start = max(0, begin - slack)
    sound = recording[start : end + slack]
    step = int(TONE_S * SAMPLE_RATE)
    parts = [
        _Parts(digit, cut, likeness(sound, word[: cut * step]), likeness(sound, word[cut * step :]))
        for digit, word in enumerate(WORDS)
        for cut in range(1, len(TONES))
        if len(sound) >= max(cut, len(TONES) - cut) * step
    ]
    found: list[tuple[float, int, int, int]] = []
    stretches = [(0, len(sound))]
    while stretches:
        low, high = stretches.pop()
        if high - low < len(WORDS[0]) // 2:
            continue
        best = max((two for part in parts if (two := part.best(low, high))), default=None)
        if best is None or best[0] < STRETCHED_CLEAR:
            continue
        found.append(best)
        stretches += [(low, best[2]), (best[3], high)]
    return [Word(digit, (start + at) / SAMPLE_RATE, like) for like, digit, at, _ in found]


class _Parts(NamedTuple):
    """How well a sound fits the head and the tail of a word at each place."""

    digit: int
    cut: int
    """Tones in the head."""
    head: Samples
    tail: Samples

    def best(self, low: int, high: int) -> tuple[float, int, int, int] | None:
        """The best of both between two places: likeness, digit, where it begins and ends."""
        step, most = int(TONE_S * SAMPLE_RATE), int(STRETCH_S * SAMPLE_RATE)
        head_length, tail_length = self.cut * step, (len(TONES) - self.cut) * step
        share = self.cut / len(TONES)
        heads = self.head[low : max(low, high - head_length + 1)]
        found: tuple[float, int, int, int] | None = None
        for peak in _peaks(heads) if len(heads) else []:
            at = low + peak
            first = at + head_length - step
            window = self.tail[first : min(high - tail_length + 1, at + head_length + most)]
            if not len(window):
                continue
            then = first + int(window.argmax())
            like = float(share * self.head[at] + (1 - share) * self.tail[then])
            found = max(found or (0.0, 0, 0, 0), (like, self.digit, at, then + tail_length))
        return found


def _peaks(likeness: Samples, count: int = 4) -> list[int]:
    rest = likeness.copy()
    apart = int(TONE_S * SAMPLE_RATE / 2)
    peaks = []
    for _ in range(count):
        at = int(rest.argmax())
        peaks.append(at)
        rest[max(0, at - apart) : at + apart] = 0.0
    return peaks


@dataclass(frozen=True)
class Account:
    """What became of everything that was counted, from the first word heard to the last."""

    first: int
    last: int
    """Numbers of which every digit should be there."""
    words: int
    missing: list[int]
    """Numbers of which a word was swallowed."""
    added: int
    """Words that were heard and not said there: repeated, or out of order."""
    delays: list[tuple[float, float]]
    """For each word: when it was heard (seconds in the recording), and how much later than the
    first one it was, by what was sent."""
    places: list[int]
    """For each word: which it was of all that were said."""

    @property
    def jump(self) -> float:
        """The greatest change of mouth-to-ear delay from one word to the next, in seconds."""
        return self.jump_between(float("-inf"), float("inf"))

    def jump_between(self, start: float, end: float) -> float:
        """The same among the words heard in this stretch of the recording."""
        within = np.array([late for at, late in self.delays if start <= at <= end])
        return float(np.abs(np.diff(within)).max()) if len(within) > 1 else 0.0

    def shift_between(self, start: float, end: float) -> float:
        """The greatest delay above the least, in seconds."""
        within = [late for at, late in self.delays if start <= at <= end]
        return max(within) - min(within) if within else 0.0


def account(heard: list[Word], said: range) -> Account:
    """Holds what was heard against what was said. Raises AssertionError if nothing fits."""
    sent = [(number, digit) for number in said for digit in digits(number)]
    matched = _aligned(heard, [digit for _, digit in sent])
    if len(matched) < DIGITS_IN_NUMBER:
        transcript = "".join(str(word.digit) for word in heard)
        raise AssertionError(f"nothing that was said is in {transcript!r}")
    begin, end = min(matched), max(matched) + 1
    missing = sorted({sent[place][0] for place in range(begin, end) if place not in matched})
    places = sorted(matched)
    start = heard[matched[places[0]]].at - said_at(places[0])
    return Account(
        first=sent[begin][0],
        last=sent[end - 1][0],
        words=len(places),
        missing=missing,
        added=len(heard) - len(places),
        delays=[
            (heard[matched[place]].at, heard[matched[place]].at - said_at(place) - start)
            for place in places
        ],
        places=places,
    )


def _aligned(heard: list[Word], sent: list[int]) -> dict[int, int]:
    """Places in what was sent, and where each was heard: the best chain of matches.

    The longest run that both have says about how late everything is. A chain gains by each word
    that it explains, and pays for each word passed over and for each change of delay: digits
    repeat, and only time tells one 2 from the next.
    """
    matcher = difflib.SequenceMatcher(None, [word.digit for word in heard], sent, autojunk=False)
    run = matcher.find_longest_match(0, len(heard), 0, len(sent))
    if not run.size:
        return {}
    # Its first word may stand before a gap, and happen to fit what follows.
    ahead = [heard[run.a + n].at - said_at(run.b + n) for n in range(run.size)]
    late = float(np.median(ahead))
    chains: list[list[_Link]] = []
    for row, word in enumerate(heard):
        links = []
        for place in _around(word.at - late, sent):
            if sent[place] != word.digit:
                continue
            here = word.at - said_at(place)
            best = _Link(place, here, MATCH - SKIPPED * row, None)
            for back in range(max(0, row - MEMORY_WORDS), row):
                for link in chains[back]:
                    if link.place < place:
                        paid = SKIPPED * (row - back - 1) + MISSED * (place - link.place - 1)
                        gain = MATCH - paid - PER_SECOND * abs(here - link.late)
                        if link.score + gain > best.score:
                            best = _Link(place, here, link.score + gain, (back, link))
            links.append(best)
        chains.append(links)
    ends = [(row, link) for row, links in enumerate(chains) for link in links]
    row, link = max(ends, key=lambda end: end[1].score - SKIPPED * (len(heard) - 1 - end[0]))
    matched = {link.place: row}
    while link.before is not None:
        row, link = link.before
        matched[link.place] = row
    return matched


class _Link(NamedTuple):
    """A word heard taken for a word said, as the end of a chain."""

    place: int
    late: float
    score: float
    before: tuple[int, _Link] | None


def _around(at: float, sent: list[int]) -> range:
    """Places said within `NEAR_S` of a time."""
    first = int((at - NEAR_S) // NUMBER_S) * DIGITS_IN_NUMBER
    last = int((at + NEAR_S) // NUMBER_S + 1) * DIGITS_IN_NUMBER
    return range(max(0, first), min(len(sent), max(0, last)))


def said_at(place: int) -> float:
    """When a word of the count is said: seconds after the first."""
    number, position = divmod(place, DIGITS_IN_NUMBER)
    return number * NUMBER_S + position * WORD_STEP_S


class Count:
    """The count as a `Voice`."""

    def aloud(self) -> Iterator[NDArray[np.int16]]:
        """Without end, in pieces of `sound.FRAME` samples."""
        return aloud()

    def said_at(self, place: int) -> float:
        """When a word is said: seconds after the first."""
        return said_at(place)

    def length_s(self, _place: int) -> float:
        """Of a word."""
        return WORD_S

    def words(self, start: float, end: float) -> list[int]:
        """Those said between two moments, in seconds after the first."""
        most = 1_000 * DIGITS_IN_NUMBER
        return [place for place in range(most) if start <= said_at(place) < end]

    def heard(self, recording: Samples, _after: Callable[[float], float]) -> dict[int, float]:
        """Every word that can be told in a recording, and at which second of it."""
        try:
            found = account(transcribe(recording), range(1_000))
        except AssertionError:
            return {}  # nothing that was said is in it
        return {place: at for place, (at, _) in zip(found.places, found.delays, strict=True)}

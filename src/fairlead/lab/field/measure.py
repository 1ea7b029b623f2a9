"""What a listener heard, held against what was said: words, delay, sound that was made up.

*Swallowed* is a word that was said and is not in the recording; *mouth to ear* is from the moment
at which a word was given to the speaker's SDK to that at which the listener's SDK played it.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from fairlead.lab.field.counting import Count
from fairlead.lab.field.people import Heard, Told
from fairlead.lab.field.sound import SAMPLE_RATE, Samples
from fairlead.lab.field.voice import Voice

TAIL_S = 1.5
"""What was said this short before the end may still be on its way."""
AFTER_S = 5.0
SMOOTH = 20
"""Marks to each side within which the earliest tells when a sample was played."""


class Listened(msgspec.Struct, frozen=True, kw_only=True):
    """One direction of a run; times in seconds since both hear each other."""

    words: int
    """Said in the time that is judged."""
    swallowed: list[float]
    """When each word was said that nobody heard, judged or not."""
    longest_s: float
    """The longest stretch of speech that was swallowed."""
    delays: list[tuple[float, float]]
    """For each word heard: when it was said, and mouth to ear in ms."""
    concealed: float
    """Share of the sound that was made up while somebody spoke."""
    all_concealed: float = 0.0
    """The same, the silence that a long gap ends in included."""
    kbps: float = 0.0
    """Payload that the client received."""
    since: float = 0.0
    """What was said before is not judged."""
    packets: int
    lost: int
    discarded: int
    clock: float
    """Seconds recorded in a second: a starved client plays too slowly."""
    listening: dict[str, float] = {}
    """ViSQOL of stretches of speech: `listening`."""
    understood: tuple[float, float] | None = None
    """Shares of the words that a model understood, as heard and as said: `transcripts`."""

    @property
    def score(self) -> float | None:
        """ViSQOL's opinion after the first event, or throughout; None if there is none."""
        return list(self.listening.values())[-1] if self.listening else None

    @property
    def share(self) -> float:
        """Of the words that were swallowed."""
        return self.missed / self.words if self.words else 1.0

    @property
    def missed(self) -> int:
        """Words swallowed of those that are judged."""
        return sum(at >= self.since for at in self.swallowed)

    def delay_ms(self, start: float, end: float) -> float | None:
        """Median mouth to ear of what was said in a stretch; None if nothing of it was heard."""
        within = [late for at, late in self.delays if start <= at <= end]
        return float(np.median(within)) if within else None

    def swallowed_between(self, start: float, end: float) -> int:
        """Words said in a stretch that nobody heard."""
        return sum(start <= at < end for at in self.swallowed)


def listened(
    speaker: Told,
    listener: Told,
    start: float,
    end: float,
    since: float = 0.0,
    voice: Voice | None = None,
) -> Listened:
    """What the listener heard of the speaker between two moments (monotonic). What was said less
    than ``since`` seconds after the first is told and not judged. The voice is the count where
    none is given."""
    voice, began = voice or Count(), speaker.began
    heard: dict[int, float] = {}
    for track in listener.heard:
        for place, at in _words(track, voice, began).items():
            heard[place] = min(at, heard.get(place, at))
    said = voice.words(max(0.0, start - began), end - TAIL_S - began)
    judged = voice.words(max(0.0, start + since - began), end - TAIL_S - began)
    missed = [place for place in said if place not in heard]
    delays = [(began + voice.said_at(place), heard[place]) for place in said if place in heard]
    counts = _counted(listener.heard, start + since, end)
    played = counts["samples"]
    return Listened(
        words=len(judged),
        swallowed=[round(began + voice.said_at(place) - start, 3) for place in missed],
        longest_s=round(_longest(sorted(set(missed) & set(judged)), voice), 3),
        delays=[(round(at - start, 3), round(1e3 * (there - at), 1)) for at, there in delays],
        concealed=counts["concealed"] / played if played > 0 else 1.0,
        all_concealed=counts["all_concealed"] / played if played > 0 else 1.0,
        kbps=round(8e-3 * counts["bytes"] / (end - start - since), 1),
        since=since,
        packets=counts["packets"],
        lost=counts["lost"],
        discarded=counts["discarded"],
        clock=_clock(listener.heard, start, end),
    )


def recording(track: Heard) -> Samples:
    """The samples of a recorded track."""
    pcm = np.frombuffer(Path(track.recording).read_bytes(), dtype=np.int16)
    return np.asarray(pcm / 32_768)


def _words(track: Heard, voice: Voice, began: float) -> dict[int, float]:
    """Every word that can be told in a recording, and when it was played (monotonic)."""
    if not track.marks:
        return {}
    played = Played(track)
    found = voice.heard(recording(track), lambda at: played(at) - began)
    return {place: played(at) for place, at in found.items()}


class Played:
    """When a second of the recording was played.

    Sound comes to us in steps that the machine may delay, never hasten: of the marks around a
    moment the earliest is right.
    """

    def __init__(self, track: Heard) -> None:
        counts, times = (np.array(column) for column in zip(*track.marks, strict=True))
        offsets = times - counts / SAMPLE_RATE
        self._at = counts / SAMPLE_RATE
        self._offsets = np.array(
            [offsets[max(0, i - SMOOTH) : i + SMOOTH + 1].min() for i in range(len(offsets))]
        )

    def __call__(self, at: float) -> float:
        return at + float(np.interp(at, self._at, self._offsets))


def _longest(missed: list[int], voice: Voice) -> float:
    longest = 0.0
    first: int | None = None
    for index, place in enumerate(missed):
        if index == 0 or missed[index - 1] != place - 1:
            first = place
        assert first is not None
        stretch = voice.said_at(place) + voice.length_s(place) - voice.said_at(first)
        longest = max(longest, stretch)
    return longest


def _counted(tracks: list[Heard], start: float, end: float) -> dict[str, int]:
    """What the client counted within a time, over all its tracks."""
    names = ("packets", "lost", "discarded", "samples", "concealed", "all_concealed", "bytes")
    counts = dict.fromkeys(names, 0)
    for track in tracks:
        within = [sample for sample in track.samples if start - 0.5 <= sample.at <= end]
        if not within:
            continue
        # A track that came meanwhile is counted from its beginning.
        early = [sample for sample in within if sample.at <= start + 0.5]
        for name in counts:
            before = getattr(early[-1], name) if early else 0
            counts[name] += getattr(within[-1], name) - before
    return counts


def _clock(tracks: list[Heard], start: float, end: float) -> float:
    """Of the longest recording, in the time of the run."""
    within = ([mark for mark in track.marks if start <= mark[1] <= end] for track in tracks)
    marks = max(within, key=len, default=[])
    if len(marks) < 2:
        return 0.0
    (first, began), (last, ended) = marks[0], marks[-1]
    return (last - first) / SAMPLE_RATE / (ended - began)

"""Devices that bear less than their class says, known by what they do.

A decoder that can't keep up asks for keyframes of a picture that came whole; an encoder that can't
gives few pictures of each layer. No message of the protocol says either, and both have other
causes too. So each is relieved a step at a time, and what does not help is taken back. How much
counts, and for how long, is data (`devices.toml`).
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

BEST = 2
"""The best of a picture's qualities."""

Seconds = Annotated[float, Meta(gt=0, le=3600)]
Reports = Annotated[int, Meta(ge=1, le=100)]
Share = Annotated[float, Meta(ge=0, le=1)]


class SlowDecoder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a viewer is taken to decode too slowly."""

    keyframes: Annotated[int, Meta(ge=1)] = 2
    """Asked for in 5 s of pictures that came whole,"""
    reports: Reports = 2
    """so many times 5 s in a row,"""
    loss: Share = 0.02
    """where less than this share was lost on the way to it."""
    rest_s: Seconds = 60.0
    """It gets more again after so long without; twice as long each time that it did not bear it."""
    longest_rest_s: Seconds = 600.0


class SlowEncoder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a publisher's camera is taken to be held back by its encoder."""

    fps: Annotated[float, Meta(gt=0)] = 12.0
    """Fewer pictures a second than these,"""
    share: Share = 0.6
    """and than this share of the most that it gave,"""
    reports: Reports = 2
    """so many times 5 s in a row,"""
    loss: Share = 0.02
    """where less than this share was lost on the way from it."""
    trial_s: Seconds = 15.0
    """A layer less helps if so long after"""
    gain: Annotated[float, Meta(gt=1)] = 1.3
    """there are so many times as many pictures; else it comes back."""
    rest_s: Seconds = 120.0
    """Then it is tried again with it; twice as long each time that it did not bear it."""
    longest_rest_s: Seconds = 600.0


class Step(msgspec.Struct, frozen=True):
    """What a viewer gets at most."""

    quality: int = BEST
    fps: int = 0
    """0 is all that come."""


STEPS = (Step(), Step(quality=1), Step(quality=0), Step(quality=0, fps=15))


class Decoding:
    """One viewer: ``take`` each report, ``step`` is what it bears."""

    def __init__(self) -> None:
        self._at = 0
        self._bad = 0
        self._rest: float | None = None
        self._rose = False
        self._rises_at: float | None = None

    @property
    def step(self) -> Step:
        return STEPS[self._at]

    def take(self, now: float, rule: SlowDecoder, keyframes: int, loss: float) -> bool:
        """Take what 5 s told: keyframes asked for and the share lost. True: the step changed."""
        before = self._at
        asks = keyframes >= rule.keyframes and loss < rule.loss
        self._bad = self._bad + 1 if asks else 0
        if self._bad >= rule.reports:
            self._bad = 0
            self._fall(now, rule)
        elif asks and self._at:
            self._rises_at = now + (self._rest or rule.rest_s)
        elif self._rises_at is not None and now >= self._rises_at:
            self._at -= 1
            self._rose = True
            self._rises_at = now + (self._rest or rule.rest_s) if self._at else None
        return self._at != before

    def _fall(self, now: float, rule: SlowDecoder) -> None:
        if self._rest is None:
            self._rest = rule.rest_s
        elif self._rose:
            self._rest = min(2 * self._rest, rule.longest_rest_s)
        self._rose = False
        self._at = min(self._at + 1, len(STEPS) - 1)
        self._rises_at = now + self._rest


class Encoding:
    """One camera: ``take`` each report, ``quality`` is the best that its publisher bears."""

    def __init__(self) -> None:
        self.quality = BEST
        self._most = 0.0
        self._bad = 0
        self._was = (BEST, 0.0)
        """Quality and pictures a second before the latest relief."""
        self._judged_at: float | None = None
        self._rest: float | None = None
        self._until = 0.0
        """A relief that helped lasts at least."""
        self._alone_until = 0.0
        """None is tried, for the last did not help."""

    def take(self, now: float, rule: SlowEncoder, layers: int, fps: float, loss: float) -> bool:
        """Take what 5 s told: layers that come, pictures a second of the lowest, the share lost.
        True: the quality changed."""
        before = self.quality
        self._most = max(self._most, fps)
        if self._judged_at is not None:
            if now >= self._judged_at:
                self._judge(now, rule, fps)
            return self.quality != before
        slow = fps < rule.fps and fps < rule.share * self._most and loss < rule.loss
        may = layers > 1 and now >= self._alone_until
        self._bad = self._bad + 1 if slow and may else 0
        if self._bad >= rule.reports:
            self._bad = 0
            self._was, self._judged_at = (self.quality, fps), now + rule.trial_s
            self.quality = min(layers - 2, self.quality - 1)
        elif self.quality < BEST and not slow and now >= self._until:
            self.quality += 1
            self._until = now + (self._rest or rule.rest_s)
        return self.quality != before

    def _judge(self, now: float, rule: SlowEncoder, fps: float) -> None:
        self._judged_at = None
        last = self._rest
        quality, pictures = self._was
        if fps >= rule.gain * pictures:
            self._rest = min(2 * last, rule.longest_rest_s) if last else rule.rest_s
            self._until = now + self._rest
        else:
            self.quality = quality
            self._alone_until = now + rule.longest_rest_s

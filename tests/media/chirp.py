"""Chirps: short sweeps that survive Opus and can be told apart by correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fairlead.lab.field.sound import SAMPLE_RATE, Samples

SWEEP_S = 0.25
GAP_S = 0.05
AMPLITUDE = 0.5


@dataclass(frozen=True)
class Chirp:
    """A linear sweep from `start_hz` to `end_hz`, repeated with a short gap."""

    start_hz: float
    end_hz: float

    def sweep(self) -> Samples:
        """One sweep: float samples in [-1, 1] at SAMPLE_RATE, faded at both ends."""
        count = int(SWEEP_S * SAMPLE_RATE)
        t = np.arange(count) / SAMPLE_RATE
        rate = (self.end_hz - self.start_hz) / SWEEP_S
        wave = AMPLITUDE * np.sin(2 * np.pi * (self.start_hz * t + rate * t * t / 2))
        fade = np.minimum(1.0, np.minimum(t, t[::-1]) / 0.01)
        return np.asarray(wave * fade)

    def period(self) -> Samples:
        """One sweep and the gap after it."""
        return np.concatenate([self.sweep(), np.zeros(int(GAP_S * SAMPLE_RATE))])


JAKARTA = Chirp(400, 3_000)
FRANKFURT = Chirp(2_600, 600)
STRANGER = Chirp(1_200, 1_900)


def likeness(recording: Samples, chirp: Chirp) -> float:
    """How well the best 250 ms of the recording match the sweep.

    The peak of the normalised cross-correlation, 0 (nothing alike) to 1 (the same but for
    level and delay). Silence gives 0.
    """
    sweep = chirp.sweep()
    if len(recording) < len(sweep):
        return 0.0
    size = 1 << int(np.ceil(np.log2(len(recording) + len(sweep))))
    spectrum = np.fft.rfft(recording, size) * np.conj(np.fft.rfft(sweep, size))
    lags = len(recording) - len(sweep) + 1
    dot = np.fft.irfft(spectrum, size)[:lags]
    energy = np.concatenate([[0.0], np.cumsum(recording**2)])
    window = energy[len(sweep) :] - energy[: -len(sweep)]
    norm = np.sqrt(np.maximum(window[:lags], 0) * np.sum(sweep**2))
    floor = 1e-3 * np.sum(sweep**2)
    return float(np.max(np.where(norm > floor, np.abs(dot) / np.maximum(norm, floor), 0.0)))


def loudness(recording: Samples) -> float:
    """Root mean square of the samples, 0 to 1; 0 for an empty recording."""
    return float(np.sqrt(np.mean(recording**2))) if len(recording) else 0.0

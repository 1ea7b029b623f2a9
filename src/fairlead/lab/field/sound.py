"""Sound as the lab makes and hears it: mono, floats within -1 and 1, or 16-bit samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 48_000
FRAME = SAMPLE_RATE // 50
"""Samples given to a client at a time."""

Samples = NDArray[np.float64]


def to_pcm(samples: Samples) -> NDArray[np.int16]:
    """Float samples in [-1, 1] as 16-bit PCM."""
    return (np.clip(samples, -1, 1) * 32_767).astype(np.int16)


def thinned(samples: Samples, times: int) -> Samples:
    """So many times fewer samples: each is the mean of as many."""
    count = len(samples) // times
    return np.asarray(samples[: count * times].reshape(count, times).mean(axis=1))


def likeness(recording: Samples, word: Samples) -> Samples:
    """Normalised correlation of the recording with a word at each sample where it may begin."""
    size = 1 << int(np.ceil(np.log2(len(recording) + len(word))))
    lags = len(recording) - len(word) + 1
    spectrum = np.fft.rfft(recording, size) * np.conj(np.fft.rfft(word, size))
    dot = np.fft.irfft(spectrum, size)[:lags]
    energy = np.concatenate([[0.0], np.cumsum(recording**2)])
    window = np.maximum(energy[len(word) :] - energy[: -len(word)], 0)[:lags]
    loud = np.sum(word**2)
    norm = np.sqrt(window * loud)
    floor = 1e-3 * loud
    return np.asarray(np.where(norm > floor, np.abs(dot) / np.maximum(norm, floor), 0.0))

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

"""Pictures with their number in them: black and white cells that survive any codec.

The upper half is a grid of 8 x 3 cells, read row by row, most significant bit first: 16 bits of
the picture's number and 8 of checksum; white is 1. The lower half is a ground that moves, so that
an encoder has something to spend its bits on. `web/lab/picture.ts` draws and reads the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

COLUMNS, ROWS = 8, 3
DARK, LIGHT = 40, 215
WIDTH, HEIGHT = 640, 360
RATE = 20
"""Pictures a second."""
UNREADABLE = -1
NUMBERS = 1 << 16
"""After so many they begin anew: 54 minutes."""
CELL_EDGE = 0.3
"""Share of a cell at each side that a codec may smear."""
GRAIN = 14
"""How far the ground strays from its mean by noise that is new in each picture; by this much the
encoders of VP8 use up what LiveKit's clients give to this size, and still bring all pictures."""
GROUNDS = 16
DRIFT = 5
"""Pixels by which the ground moves from picture to picture."""

Plane = NDArray[np.uint8]


def checksum(number: int) -> int:
    """Eight bits over the sixteen of the number; no blank picture reads as one that fits."""
    return ((number >> 8) * 7 + (number & 0xFF) * 13 + 0xA5) & 0xFF


class Painter:
    """Makes I420 pictures of one size; both figures even."""

    def __init__(self, width: int = WIDTH, height: int = HEIGHT) -> None:
        self.size = (width, height)
        upper = height // 2
        self._rows = np.arange(upper) * ROWS // upper
        self._columns = np.arange(width) * COLUMNS // width
        self._grounds = _grounds(width, height - upper)
        self._colour = bytes([128]) * (width * height // 2)

    def paint(self, number: int) -> bytes:
        """The picture of a number, width * height * 3 / 2 bytes."""
        number %= NUMBERS
        word = (number << 8) | checksum(number)
        bits = np.array([(word >> (COLUMNS * ROWS - 1 - i)) & 1 for i in range(COLUMNS * ROWS)])
        cells = np.where(bits.reshape(ROWS, COLUMNS), LIGHT, DARK).astype(np.uint8)
        code = cells[self._rows[:, None], self._columns[None, :]]
        ground = np.roll(self._grounds[number % GROUNDS], number * DRIFT, axis=1)
        return bytes(code.tobytes() + ground.tobytes() + self._colour)


def read(luma: Plane) -> int:
    """The number in a luma plane of any size (height x width); `UNREADABLE` if it does not fit."""
    height, width = luma.shape[0] // 2, luma.shape[1]
    word = 0
    for row in range(ROWS):
        for column in range(COLUMNS):
            top, bottom = _inner(row, height / ROWS)
            left, right = _inner(column, width / COLUMNS)
            light = luma[top:bottom, left:right].mean() > (DARK + LIGHT) / 2
            word = (word << 1) | int(light)
    number = word >> 8
    return number if word & 0xFF == checksum(number) else UNREADABLE


def _inner(place: int, size: float) -> tuple[int, int]:
    first = int((place + CELL_EDGE) * size)
    return first, max(first + 1, int((place + 1 - CELL_EDGE) * size))


def _grounds(width: int, height: int) -> list[Plane]:
    """A soft landscape, each time with other grain."""
    dice = np.random.default_rng(7)
    coarse = dice.integers(70, 190, (height // 20 + 2, width // 20))
    wide = np.kron(coarse, np.ones((20, 20)))[:height, :width]
    grains = (dice.normal(0, GRAIN / 2, wide.shape) for _ in range(GROUNDS))
    return [np.clip(wide + grain, 0, 255).astype(np.uint8) for grain in grains]

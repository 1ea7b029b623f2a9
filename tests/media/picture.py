"""Pictures with a number drawn in: black and white cells that survive any video codec.

The picture is a grid of 8 x 4 cells, read row by row, most significant bit first: 16 bits of
frame number, 8 bits that name the sender, 8 bits of checksum. White is 1. The same layout is
drawn and read by `web/e2e/picture.ts`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

COLUMNS, ROWS = 8, 4
DARK, LIGHT = 40, 215

Plane = NDArray[np.uint8]


class Code(NamedTuple):
    """What a picture says: its frame number (16 bits) and its sender (8 bits)."""

    number: int
    sender: int


def checksum(number: int, sender: int) -> int:
    """Eight bits over the other twenty-four; never what a blank picture reads as."""
    return ((number >> 8) * 7 + (number & 0xFF) * 13 + sender * 31 + 0xA5) & 0xFF


def draw(width: int, height: int, code: Code) -> bytes:
    """An I420 picture of the code: width * height * 3 / 2 bytes. Sizes must be even."""
    word = (code.number << 16) | (code.sender << 8) | checksum(code.number, code.sender)
    bits = [(word >> (31 - i)) & 1 for i in range(32)]
    cells = np.where(np.array(bits).reshape(ROWS, COLUMNS), LIGHT, DARK).astype(np.uint8)
    rows = np.arange(height) * ROWS // height
    columns = np.arange(width) * COLUMNS // width
    luma: Plane = cells[rows[:, None], columns[None, :]]
    return luma.tobytes() + bytes([128]) * (width * height // 2)


def read(luma: Plane) -> Code | None:
    """The code in a luma plane of any size (height x width), or None when it does not check."""
    height, width = luma.shape
    word = 0
    for row in range(ROWS):
        for column in range(COLUMNS):
            top, left = (row + 0.3) * height / ROWS, (column + 0.3) * width / COLUMNS
            bottom, right = (row + 0.7) * height / ROWS, (column + 0.7) * width / COLUMNS
            cell = luma[int(top) : int(bottom) + 1, int(left) : int(right) + 1]
            word = (word << 1) | int(cell.mean() > (DARK + LIGHT) / 2)
    number, sender = word >> 16, (word >> 8) & 0xFF
    return Code(number, sender) if word & 0xFF == checksum(number, sender) else None


def check_order(numbers: Sequence[int]) -> None:
    """Fails unless the numbers never fall and four of five are new.

    A browser may capture or encode one state of a canvas twice.
    """
    assert all(a <= b for a, b in itertools.pairwise(numbers)), f"falling: {numbers}"
    assert len(set(numbers)) >= 0.8 * len(numbers), f"mostly repeated: {numbers}"

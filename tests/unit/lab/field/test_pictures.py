"""Numbers in pictures survive what codecs do to them, and nothing else reads as one."""

from __future__ import annotations

import numpy as np
import pytest

from fairlead.lab.field import pictures
from fairlead.lab.field.pictures import HEIGHT, UNREADABLE, WIDTH, Painter, Plane


def luma(data: bytes, width: int = WIDTH, height: int = HEIGHT) -> Plane:
    return np.frombuffer(data, dtype=np.uint8)[: width * height].reshape(height, width)


@pytest.mark.parametrize("number", [0, 1, 2, 255, 256, 12_345, 65_535])
def test_a_number_is_read_from_a_picture_half_or_a_quarter_as_wide(number: int) -> None:
    plane = luma(Painter().paint(number))
    for step in (1, 2, 4):
        assert pictures.read(plane[::step, ::step]) == number


def test_numbers_begin_anew() -> None:
    assert pictures.read(luma(Painter().paint(pictures.NUMBERS + 3))) == 3


def test_blocks_and_noise_of_a_codec_do_not_change_the_number() -> None:
    plane = luma(Painter().paint(4_242)).astype(float)
    blocks = plane.reshape(HEIGHT // 8, 8, WIDTH // 8, 8).mean(axis=(1, 3))
    coarse = np.kron(blocks, np.ones((8, 8)))
    noisy = coarse + np.random.default_rng(1).normal(0, 30, coarse.shape)
    assert pictures.read(np.clip(noisy, 0, 255).astype(np.uint8)) == 4_242


def test_what_is_no_picture_of_ours_is_unreadable() -> None:
    for shade in (0, 128, 255):
        assert pictures.read(np.full((HEIGHT, WIDTH), shade, dtype=np.uint8)) == UNREADABLE
    torn = luma(Painter().paint(7)).copy()
    torn[:60] = luma(Painter().paint(1_800))[:60]
    assert pictures.read(torn) == UNREADABLE


def test_the_ground_moves_from_picture_to_picture() -> None:
    painter = Painter()
    first, second = (luma(painter.paint(number))[HEIGHT // 2 :] for number in (0, 1))
    assert np.mean(np.abs(first.astype(int) - second)) > 5

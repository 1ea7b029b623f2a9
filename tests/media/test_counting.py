"""The ear of the counting tests: it hears what is there and misses what is not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fairlead.lab.field.counting import (
    NUMBER_S,
    TONE_S,
    WORD_STEP_S,
    WORDS,
    account,
    digits,
    spoken,
    transcribe,
)
from fairlead.lab.field.sound import SAMPLE_RATE, Samples
from tests.media.chirp import STRANGER

SAID = range(95, 105)
SAID_FROM_NOUGHT = range(1_000)


def sound() -> Samples:
    return np.concatenate([spoken(number) for number in SAID])


def samples(seconds: float) -> int:
    return int(seconds * SAMPLE_RATE)


def test_no_word_is_like_another() -> None:
    for a, b in itertools.permutations(WORDS, 2):
        around = np.pad(a, samples(0.12))
        dots = np.abs(np.correlate(around, b, "valid"))
        assert dots.max() / (np.linalg.norm(a) * np.linalg.norm(b)) < 0.5


def test_a_clean_recording_is_written_down_as_it_was_said() -> None:
    heard = transcribe(np.concatenate([np.zeros(5_000), 0.3 * sound()]))
    assert [word.digit for word in heard] == [d for number in SAID for d in digits(number)]
    told = account(heard, range(1_000))
    assert (told.first, told.last, told.missing, told.added) == (95, 104, [], 0)
    assert told.jump < 0.001


def test_noise_and_strangers_are_no_words() -> None:
    assert transcribe(np.random.default_rng(1).normal(0, 0.2, samples(3))) == []
    assert transcribe(STRANGER.sweep()) == []
    assert transcribe(np.zeros(samples(1))) == []
    assert transcribe(np.zeros(3)) == []
    with pytest.raises(AssertionError, match="nothing that was said"):
        account([], SAID)


def test_words_are_heard_in_noise() -> None:
    said = sound()
    heard = transcribe(said + np.random.default_rng(2).normal(0, 0.05, len(said)))
    told = account(heard, SAID)
    assert (told.missing, told.added) == ([], 0)


@pytest.mark.parametrize("swallowed", [0.06, 0.1, 0.2])
def test_a_swallowed_syllable_is_missed(swallowed: float) -> None:
    """Cut out of the recording, as a decoder that skips does."""
    at = samples(3 * NUMBER_S + 0.17)
    told = account(transcribe(np.delete(sound(), slice(at, at + samples(swallowed)))), SAID)
    assert told.missing == [98]


def test_a_word_before_a_gap_that_fits_what_follows_it_dates_nothing() -> None:
    """Of 024 the nought is heard, then 030 but for its own: together they are the longest run."""
    said = np.concatenate([spoken(number) for number in range(60)])
    said[samples(24 * NUMBER_S + 0.13) : samples(30 * NUMBER_S + 0.13)] = 0
    told = account(transcribe(said), SAID_FROM_NOUGHT)
    assert (told.first, told.last, told.words) == (0, 59, 180 - 18)
    assert told.jump < 0.001


@pytest.mark.parametrize("silent", [0.08, 0.15])
def test_a_silenced_syllable_is_missed(silent: float) -> None:
    said = sound()
    at = samples(3 * NUMBER_S + 0.17)
    said[at : at + samples(silent)] = 0
    assert account(transcribe(said), SAID).missing == [98]


def test_a_repeated_word_is_counted() -> None:
    said = sound()
    at = samples(2 * NUMBER_S)
    told = account(transcribe(np.insert(said, at, said[at - samples(0.5) : at])), SAID)
    assert told.added == 3
    assert told.missing == []


def test_a_pause_is_a_jump_of_its_length() -> None:
    at = samples(2 * NUMBER_S - 0.01)
    told = account(transcribe(np.insert(sound(), at, np.zeros(samples(0.05)))), SAID)
    assert (told.missing, told.added) == ([], 0)
    assert told.jump == pytest.approx(0.05, abs=0.001)
    assert told.jump_between(0, 0.9) < 0.001
    assert told.shift_between(0, 9) == pytest.approx(0.05, abs=0.001)


@pytest.mark.parametrize("made_up", [0.02, 0.06, 0.12])
@pytest.mark.parametrize("tone", [2, 3, 4])
def test_a_word_that_was_drawn_out_is_heard(made_up: float, tone: int) -> None:
    """As a jitter buffer does it: the tone before goes on until the next packet comes."""
    said = sound()
    at = samples(3 * NUMBER_S + WORD_STEP_S + tone * TONE_S)
    period = said[at - samples(0.01) : at]
    longer = np.insert(said, at, np.resize(period, samples(made_up)) * 0.7)
    told = account(transcribe(longer), SAID)
    assert (told.missing, told.added) == ([], 0)
    assert told.jump == pytest.approx(made_up, abs=0.002)


def test_two_seconds_of_nothing_are_four_numbers_missing() -> None:
    said = np.concatenate([spoken(number) for number in range(990, 1_010)])
    at = samples(5 * NUMBER_S)
    said[at : at + samples(2.0)] = 0
    told = account(transcribe(said), range(1_100))
    assert (told.first, told.last) == (990, 1_009)
    assert told.missing == [995, 996, 997, 998]
    assert told.added == 0


def test_digits_that_repeat_are_told_apart_by_time() -> None:
    """221 222 223: without the first word of 222, what is left fits twice."""
    said = np.concatenate([spoken(number) for number in range(218, 228)])
    at = samples(4 * NUMBER_S)
    said[at : at + samples(0.14)] = 0
    told = account(transcribe(said), range(1_000))
    assert told.missing == [222]
    assert told.jump < 0.001


def test_what_comes_after_a_long_silence_is_still_held_against_what_was_said() -> None:
    said = np.concatenate([spoken(number) for number in range(10)])
    said[samples(2 * NUMBER_S) : samples(9 * NUMBER_S)] = 0
    told = account(transcribe(said), SAID_FROM_NOUGHT)
    assert (told.last, told.missing, told.added) == (9, list(range(2, 9)), 0)

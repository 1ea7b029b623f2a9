"""Speech: what was lost is missed and nothing else, however the rest is moved about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fairlead.lab.field import listening, speech
from fairlead.lab.field.sound import SAMPLE_RATE, Samples
from fairlead.lab.field.speech import Candidate, NoSpeech, Speech

SECONDS = 14.0


@pytest.fixture(scope="module")
def voice() -> Speech:
    return speech.of("en")


def moved(said: Samples, at: float, gone: float, later: float) -> Samples:
    """With a stretch gone from a moment on, and all after it so much later."""
    begin, end = round(at * SAMPLE_RATE), round((at + gone) * SAMPLE_RATE)
    silence = np.zeros(end - begin + round(later * SAMPLE_RATE))
    return np.concatenate([said[:begin], silence, said[end:]])


@pytest.mark.parametrize("later", [0.0, 0.3])
def test_what_was_lost_is_missed(voice: Speech, later: float) -> None:
    said = voice.between(0.0, SECONDS)
    heard = voice.heard(moved(said, 5.0, 1.5, later), lambda at: at)
    words = voice.words(0.0, SECONDS - 1.0)
    missed = [place for place in words if place not in heard]
    inside = [p for p in words if 5.0 <= voice.said_at(p) < 6.5 - voice.length_s(p)]
    touched = [p for p in words if 5.0 - voice.length_s(p) < voice.said_at(p) < 6.5]
    assert len(inside) >= 3
    assert set(inside) <= set(missed) <= set(touched)
    late = [heard[place] - voice.said_at(place) for place in heard if voice.said_at(place) > 6.6]
    assert late == pytest.approx([later] * len(late), abs=0.002)


def test_noise_and_faint_speech_are_not_heard(voice: Speech) -> None:
    said = voice.between(0.0, SECONDS)
    noise = np.random.default_rng(1).normal(0.0, 0.1, len(said))
    assert len(voice.heard(noise, lambda at: at)) <= 0.05 * len(voice.words(0.0, SECONDS))
    assert not voice.heard(0.1 * said, lambda at: at)
    assert not voice.heard(np.zeros(0), lambda at: at)


def test_a_chain_is_in_order_and_keeps_its_delay() -> None:
    true = [Candidate(place, 0.3 * place + 0.1, 0.1, 0.8) for place in range(10)]
    echo = [Candidate(place, 0.3 * place + 0.9, 0.9, 0.85) for place in (3, 6)]
    found = sorted([*true, *echo], key=lambda one: one.place)
    assert speech.chain(found) == true
    assert speech.chain([]) == []
    # A step of the delay that stays is followed.
    later = [Candidate(place, 0.3 * place + 0.7, 0.7, 0.8) for place in range(10, 20)]
    assert speech.chain([*true, *later]) == [*true, *later]


def test_rounds_go_on_without_end(voice: Speech) -> None:
    first = voice.words(0.0, voice.round_s)
    second = voice.words(voice.round_s, 2 * voice.round_s)
    assert [place + len(first) for place in first] == second
    assert voice.said_at(second[0]) == pytest.approx(voice.said_at(first[0]) + voice.round_s)
    across = voice.between(voice.round_s - 1.0, voice.round_s + 1.0)
    assert np.array_equal(across[SAMPLE_RATE:], voice.samples[:SAMPLE_RATE])
    assert not voice.between(-1.0, 0.0).any()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("", r"can't be found, which speaks 'en'.*install it"),
        ("echo no such voice >&2; exit 1", "can't speak with voice 'en': no such voice"),
        ("exit 0", "can't speak with voice 'en': no sound"),
    ],
)
def test_who_cannot_speak_says_so(
    script: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "espeak-ng"
    if script:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setattr(speech, "PROGRAM", str(program))
    speech.of.cache_clear()
    with pytest.raises(NoSpeech, match=said):
        speech.of("en")


def test_visqol_tells_good_from_bad(voice: Speech) -> None:
    assert listening.installed()
    said = voice.between(1.0, 9.0)
    dice = np.random.default_rng(2)
    frames = len(said) // 960
    lossy = said * np.repeat(dice.random(frames) >= 0.3, 960)
    clean, bad = listening.score(said, said), listening.score(said, lossy)
    assert clean > 4.2
    assert bad < clean - 1.0

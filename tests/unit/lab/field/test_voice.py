"""What is written for a run is what the voice says, and every voice is heard where it was said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fairlead.lab.field import counting, sound, voice
from fairlead.lab.field.sound import SAMPLE_RATE


def test_the_written_count_is_the_count(tmp_path: Path) -> None:
    pcm = np.fromfile(voice.written(voice.of("count"), tmp_path / "voice", 8.0), dtype=np.int16)
    assert len(pcm) == (8 + voice.MARGIN_S) * SAMPLE_RATE
    said = sound.to_pcm(np.concatenate([counting.spoken(0), counting.spoken(1)]))
    assert np.array_equal(pcm[: len(said)], said)


@pytest.mark.parametrize("name", voice.names())
def test_all_that_is_said_is_heard(name: str, tmp_path: Path) -> None:
    spoken = voice.of(name)
    path = voice.written(spoken, tmp_path / "voice", 8.0 - voice.MARGIN_S + 18.0)
    recording = np.fromfile(path, dtype=np.int16) / 32_768
    seconds = len(recording) / SAMPLE_RATE
    # The recording begins three seconds into it, and all is played 0.2 s late.
    heard = spoken.heard(recording[3 * SAMPLE_RATE :], lambda at: at + 3.2)
    words = spoken.words(3.0, seconds - 1.0)
    assert len(words) > 20
    assert set(words) <= set(heard)
    for place in words:
        assert heard[place] + 3.0 == pytest.approx(spoken.said_at(place), abs=0.002)
        assert 0.05 < spoken.length_s(place) <= 0.3

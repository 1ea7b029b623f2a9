"""Transcripts: what was lost is not understood, and a missing model is said in a sentence."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from fairlead.lab.field import speech, transcripts
from fairlead.lab.field.aligned import Aligned
from fairlead.lab.field.sound import SAMPLE_RATE, Samples, likeness
from fairlead.lab.field.transcripts import NoTranscriber
from tests.unit.lab.field.test_report import HEARD

LATE_S = 0.1


def listener(samples: Samples, language: str) -> str:
    """Knows each sentence by its first half second."""
    voice = speech.of(language)
    for one in voice.sentences:
        start = voice.between(one.begin, one.begin + 0.5)
        if len(samples) > len(start) and likeness(samples, start).max() > 0.9:
            return one.text.upper()
    return "something else altogether"


def heard(whole: Samples) -> Aligned:
    delays = [(0.2 * n, 1e3 * LATE_S) for n in range(200)]
    listened = msgspec.structs.replace(HEARD, delays=delays)
    return Aligned(speech.of("en"), -1.0, listened, whole)


def test_what_was_lost_is_not_understood() -> None:
    voice = speech.of("en")
    whole = voice.between(1.0 - LATE_S, 20.0)
    assert transcripts.understood(listener, heard(whole)) == (1.0, 1.0)
    sentences = voice.within(1.0, 19.0)
    lost = sentences[1]
    begin, end = (round((at - 1.0) * SAMPLE_RATE) for at in (lost.begin, lost.end + 0.3))
    gone = np.concatenate([whole[:begin], np.zeros(end - begin), whole[end:]])
    found = transcripts.understood(listener, heard(gone))
    assert found is not None
    assert found == (pytest.approx(1 - 1 / len(sentences), abs=0.01), 1.0)
    assert transcripts.understood(listener, heard(whole[:SAMPLE_RATE])) is None


def test_words_are_compared_without_case_or_signs() -> None:
    assert transcripts.share("¿En qué puedo ayudarle?", "en qué puedo, ayudarle") == 1.0
    assert transcripts.share("नमस्ते, आज।", "नमस्ते आज") == 1.0
    assert transcripts.share("one two three four", "one too three") == 0.5
    assert transcripts.share("one", "a b c d") == 0.0


def test_a_missing_model_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(NoTranscriber, match="faster-whisper must be here: pip install"):
        transcripts.check(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: True)
    with pytest.raises(NoTranscriber, match="holds no Whisper model"):
        transcripts.check(tmp_path)
    (tmp_path / "model.bin").touch()
    transcripts.check(tmp_path)

"""What a machine understands of speech: a check beside the measures, for whoever has a model.

Each sentence is transcribed as it was heard and as it was said: a model mishears a clean copy too.
"""

from __future__ import annotations

import importlib.util
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fairlead.lab.field.aligned import Aligned
from fairlead.lab.field.sound import Samples, thinned

THIN = 3
"""Whisper listens at 16 kHz."""
AROUND_S = 0.3
"""Heard beside a sentence: its delay changes while it is said."""

Transcriber = Callable[[Samples, str], str]
"""The words of sound at `SAMPLE_RATE` in a language."""


class NoTranscriber(Exception):
    """Nothing can be transcribed here; a sentence."""


def check(folder: Path) -> None:
    """Whether the model in a folder can be used here. Raises `NoTranscriber`."""
    if not all(importlib.util.find_spec(name) for name in ("faster_whisper", "jiwer")):
        raise NoTranscriber(
            "to transcribe, faster-whisper must be here: pip install 'fairlead[transcripts]'"
        )
    if not (folder / "model.bin").is_file():
        raise NoTranscriber(
            f"{folder} holds no Whisper model (model.bin and what goes with it): name the folder"
            " of one that was converted for CTranslate2"
        )


def whisper(folder: Path) -> Transcriber:
    """A Whisper model that CTranslate2 can load, from a folder that was checked."""
    # Only who transcribes has it.
    from faster_whisper import WhisperModel  # type: ignore[import-not-found,import-untyped,unused-ignore]

    model = WhisperModel(str(folder), device="cpu", compute_type="int8", local_files_only=True)

    def words(samples: Samples, language: str) -> str:
        thin = thinned(samples, THIN).astype(np.float32)
        found, _ = model.transcribe(thin, language=language, beam_size=1)
        return " ".join(piece.text for piece in found)

    return words


def understood(transcriber: Transcriber, speech: Aligned) -> tuple[float, float] | None:
    """The shares (0 to 1) of the words of all whole sentences that are judged which were
    understood: as heard, and as said. None if there is no such sentence."""
    voice, began = speech.voice, speech.began
    sentences = voice.within(speech.heard.since - began, speech.seconds - began - AROUND_S)
    shares = []
    for one in sentences:
        came = speech.came(one.begin + began, one.end + began, AROUND_S)
        got = "" if came is None else transcriber(came, voice.language)
        said = transcriber(voice.between(one.begin, one.end), voice.language)
        shares.append((share(one.text, got), share(one.text, said)))
    if not shares:
        return None
    heard, clean = (round(float(np.mean(column)), 3) for column in zip(*shares, strict=True))
    return heard, clean


def share(said: str, heard: str) -> float:
    """Of the words said that were understood, 0 to 1: one less the word error rate."""
    import jiwer

    words = " ".join(_words(said))
    return max(0.0, 1.0 - float(jiwer.wer(words, " ".join(_words(heard)))))


def _words(text: str) -> list[str]:
    """Small letters; punctuation and signs are none."""
    kept = "".join(" " if unicodedata.category(one)[0] in "PS" else one for one in text)
    return kept.lower().split()

"""Chromium as a client: what is missing is said, and the count that it plays is the count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fairlead.lab.field import browsers, counting, sound
from fairlead.lab.field.browsers import NoBrowser


def test_what_is_missing_is_said_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FAIRLEAD_CHROMIUM", str(tmp_path / "none"))
    with pytest.raises(NoBrowser, match=r"there is no Chromium on this machine.*install it"):
        browsers.check()
    (tmp_path / "chromium").touch()
    monkeypatch.setenv("FAIRLEAD_CHROMIUM", str(tmp_path / "chromium"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoBrowser, match=r"node can't be found.*install Node\.js"):
        browsers.check()
    node = tmp_path / "node"
    node.touch()
    node.chmod(0o755)
    monkeypatch.setattr(browsers, "WEB", tmp_path)
    with pytest.raises(NoBrowser, match="has no playwright-core: run `make setup`"):
        browsers.check()
    (tmp_path / "node_modules" / "playwright-core").mkdir(parents=True)
    browsers.check()


def test_the_voice_of_a_page_is_the_count(tmp_path: Path) -> None:
    pcm = np.fromfile(browsers.voice(tmp_path, 8.0), dtype=np.int16)
    assert len(pcm) == (8 + browsers.MARGIN_S) * sound.SAMPLE_RATE
    said = sound.to_pcm(np.concatenate([counting.spoken(0), counting.spoken(1)]))
    assert np.array_equal(pcm[: len(said)], said)

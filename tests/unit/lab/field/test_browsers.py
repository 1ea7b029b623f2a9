"""Chromium as a client: what is missing is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead.lab.field import browsers
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

"""A world's directory: there while it runs, gone after it, swept if it was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fairlead.lab import leftovers


def test_the_directory_ends_with_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with leftovers.new_store() as store:
        (store / "kept").write_text("x")
        leftovers.sweep(tmp_path)
        assert store.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_only_a_dead_worlds_directory_is_swept(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead = tmp_path / f"{leftovers.PREFIX}{ended.pid}-abc"
    alive = tmp_path / f"{leftovers.PREFIX}{os.getpid()}-abc"
    other = tmp_path / f"{leftovers.PREFIX}notes"
    for path in (dead, alive, other):
        path.mkdir()
    leftovers.sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([alive, other])

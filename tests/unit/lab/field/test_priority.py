"""Who comes first is put back, and descendants of descendants are found."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.lab.field import priority


def test_a_child_of_a_child_is_ours_and_a_stranger_is_not() -> None:
    command = [sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '60'])"]
    child = subprocess.Popen(command, start_new_session=True)
    try:
        while len(found := priority._descendants()) < 2:
            assert child.poll() is None
        assert child.pid in found
        assert not {1, os.getpid(), os.getppid()} & set(found)
    finally:
        os.killpg(child.pid, 9)
        child.wait()


def test_what_was_before_is_put_back(tmp_path: Path) -> None:
    group = tmp_path / "autogroup"
    group.write_text("/autogroup-7 nice -10\n")
    priority._put_back(group, "3")
    assert group.read_text() == "3"
    priority._put_back(tmp_path / "gone" / "autogroup", "3")


@pytest.mark.parametrize(
    ("told", "left"), [("/autogroup-7 nice 3\n", str(priority.NICE)), ("", "")]
)
def test_a_session_without_a_group_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, left: str
) -> None:
    undone: list[tuple[object, ...]] = []
    monkeypatch.setattr(os, "setpriority", lambda *_: None)
    monkeypatch.setattr(atexit, "register", lambda *call: undone.append(call[1:]))
    monkeypatch.setattr(priority, "PROC", tmp_path)
    group = tmp_path / "self" / "autogroup"
    group.parent.mkdir()
    group.write_text(told)
    priority.come_first()
    assert group.read_text() == left
    assert undone == ([(group, "3")] if told else [])

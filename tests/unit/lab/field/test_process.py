"""A person's process that says nothing, ends, or says what nobody asked: a sentence each."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import pytest

from fairlead.lab.field.process import started
from fairlead.lab.field.servers import RunFailed


def ask(program: str, folder: Path, within_s: float = 30.0) -> dict[str, float]:
    async def main() -> dict[str, float]:
        command = [sys.executable, "-c", program]
        async with started("ayu", command, folder, apart=False) as person:
            await person.say({"go": 1})
            return await person.hear(dict[str, float], within_s, "it is there")

    return anyio.run(main)


def test_it_is_ordered_and_heard(tmp_path: Path) -> None:
    assert ask("print(input())", tmp_path) == {"go": 1.0}


def test_one_that_ends_has_its_last_words_told(tmp_path: Path) -> None:
    program = "import sys; input(); sys.exit('first\\nthe room is full')"
    with pytest.raises(RunFailed, match="ayu ended in the middle of the run: the room is full"):
        ask(program, tmp_path)


def test_one_that_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="ayu did not say within 0 s that it is there"):
        ask("input(); input()", tmp_path, within_s=0.2)


def test_one_that_says_what_nobody_asked_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="ayu said 'hello there', which is no answer"):
        ask("input(); print('hello there')", tmp_path)

"""`fairlead bench` and what it is not given."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fairlead.cli", "bench", *arguments],
        capture_output=True,
        text=True,
        env=os.environ,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def test_the_shapes_are_listed() -> None:
    done = bench("--list")
    assert done.returncode == 0
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert names == ["audio-room", "meeting", "livestream", "webinar", "chat"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["atlantis"], "there is no shape 'atlantis'; there are audio-room, meeting"),
        (["meeting", "--scale", "0"], "a scale of 0 is not possible"),
        (["--scale", "2", "--subscribers", "3"], "--scale is a share of a shape"),
        (["webinar", "--layers", "9"], "9 layers are not possible"),
        (["--audio-publishers", "0", "--subscribers", "3"], "nobody publishes"),
        (["webinar", "--rooms", "0"], "0 rooms are not possible"),
        (["webinar", "--watch", "huge"], "--watch 'huge' is not low, medium or high"),
        (["--duration", "soon"], "--duration: 'soon' is not a figure such as 10s"),
        (["--duration", "2d"], "--duration '2d' is too long"),
        (["--max-loss", "much"], "--max-loss"),
        (["--api-key", "mine"], "an API key needs its secret"),
        (["--regions", "atlantis"], "there is no region 'atlantis'"),
        (["--url", "ftp://x"], "begin it with ws:// or wss://"),
        (["--data-rate", "0"], "--data-rate is 0: choose from 0.1 to 1000"),
        (["--num-per-second", "-1"], "--num-per-second is -1"),
    ],
)
def test_bad_input_is_named_in_a_sentence(arguments: list[str], words: str) -> None:
    url = [] if {"--url", "--regions"} & set(arguments) else ["--url", "ws://127.0.0.1:9"]
    done = bench(*arguments, *url)
    assert words in done.stderr
    assert done.returncode == 2
    assert "Traceback" not in done.stderr

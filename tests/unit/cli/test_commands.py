"""The commands as a person or a script runs them."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairlead.cli import remote
from fairlead.policy import tokens


def fairlead(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fairlead.cli", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def test_a_token_joins_its_room_with_the_development_key() -> None:
    done = fairlead("token", "--room", "shop", "--identity", "ayu", "--residence", "de")
    assert done.returncode == 0, done.stderr
    grants = tokens.verify(done.stdout.strip(), {"devkey": "secret"}, time.time())
    assert grants.require_join() == "shop"
    assert grants.identity == "ayu"
    assert grants.attributes == {"fairlead.residence": "DE"}


def test_a_token_names_the_scene_of_the_room_that_it_opens(tmp_path: Path) -> None:
    file = tmp_path / "fairlead.toml"
    file.write_text("[scenes.quiz]\naudio_top = 1\n")
    ask = ("token", "--room", "shop", "--identity", "ayu", "--scene", "quiz", "--config", str(file))
    done = fairlead(*ask)
    assert done.returncode == 0, done.stderr
    grants = tokens.verify(done.stdout.strip(), {"devkey": "secret"}, time.time())
    assert json.loads(grants.room_config) == {"tags": {"fairlead.scene": "quiz"}}


def test_a_token_in_json_signed_with_the_key_of_the_environment() -> None:
    done = fairlead(
        *("token", "--room", "shop", "--identity", "ayu", "--ttl", "1m", "--json"),
        LIVEKIT_API_KEY="mine",
        LIVEKIT_API_SECRET="a-secret-of-thirty-two-characters",
    )
    made = json.loads(done.stdout)
    grants = tokens.verify(
        made["token"], {"mine": "a-secret-of-thirty-two-characters"}, time.time()
    )
    assert grants.api_key == "mine"
    assert grants.expires_at - grants.not_before == 60


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["up", "--bind", "0.0.0.0"], "0.0.0.0 is not loopback and there are no API keys"),
        (["up", "--config", "/nowhere.toml"], "/nowhere.toml can't be read"),
        (["up", "--peer", "frankfurt"], "is not REGION=nats://HOST:PORT"),
        (["world", "--regions", "jakarta,atlantis"], "there is no region 'atlantis'"),
        (["world", "--file", "/nowhere.toml"], "/nowhere.toml can't be read"),
        (["token", "--room", "a", "--identity", "b", "--ttl", "soon"], "--ttl: 'soon'"),
        (["token", "--room", "", "--identity", "b"], "--room has 0 characters"),
        (
            ["token", "--room", "a", "--identity", "b", "--scene", "disco"],
            "--scene 'disco' is no scene: use one of default, voice_support",
        ),
        (["token", "--room", "a", "--identity", "b", "--residence", "Mars"], "no country code"),
        (["link", "set", "a", "b", "--loss", "most"], "'most' is not a share"),
        (["link", "cut", "a", "b", "--for", "ever"], "--for: 'ever'"),
        (["routes", "--admin", "localhost"], "is not an http:// address"),
        (["frobnicate"], "No such command"),
    ],
)
def test_bad_input_is_one_sentence_and_status_two(arguments: list[str], words: str) -> None:
    done = fairlead(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_world_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = fairlead("link", "list", XDG_RUNTIME_DIR=str(tmp_path))
    assert done.returncode == 2
    assert "no world of yours is running" in done.stderr
    done = fairlead("routes", "--admin", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "did not answer" in done.stderr


def test_the_note_of_a_world_is_for_its_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    remote.leave_note("http://127.0.0.1:1/secret")
    assert stat.S_IMODE(remote.note_path().stat().st_mode) == 0o600
    assert remote.find(None) == "http://127.0.0.1:1/secret"
    remote.take_note_back()
    assert list(tmp_path.iterdir()) == []


def test_another_worlds_note_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    remote.note_path().write_text(json.dumps({"admin": "http://127.0.0.1:1/x", "pid": 1}))
    remote.take_note_back()
    assert remote.note_path().exists()

"""The running world that a command speaks to: by ``--admin``, or the last one of this user."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any, TypeVar

import httpx
import msgspec
import typer

from fairlead.cli.failure import FAILED, Failure

T = TypeVar("T")
ANSWER_S = 10.0

Admin = Annotated[
    str | None,
    typer.Option("--admin", help="The world's admin address; the last started one if absent."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def note_path() -> Path:
    """Where the last started world of this user leaves its address."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "fairlead-world.json"
    return Path(tempfile.gettempdir()) / f"fairlead-world-{os.getuid()}.json"


def leave_note(admin: str) -> None:
    """Write down a world's address, for this user's eyes only."""
    path = note_path()
    handle, name = tempfile.mkstemp(prefix=path.name, dir=path.parent)  # mode 0600
    with os.fdopen(handle, "w") as file:
        json.dump({"admin": admin, "pid": os.getpid()}, file)
    Path(name).replace(path)


def take_note_back() -> None:
    """Remove the note if it is still ours."""
    with contextlib.suppress(OSError, ValueError):
        path = note_path()
        if json.loads(path.read_text())["pid"] == os.getpid():
            path.unlink()


def find(admin: str | None) -> str:
    """The address to speak to. Raises `Failure` if no world is known."""
    if admin:
        if not admin.startswith(("http://", "https://")):
            raise Failure(f"--admin {admin!r} is not an http:// address")
        return admin.rstrip("/")
    path = note_path()
    try:
        if path.stat().st_uid != os.getuid():
            raise Failure(f"{path} belongs to another user: give --admin")
        return str(json.loads(path.read_text())["admin"])
    except (OSError, ValueError, KeyError):
        raise Failure(
            "no world of yours is running: start one with `fairlead world`, or give --admin"
        ) from None


def get(admin: str | None, path: str, shape: type[T]) -> T:
    """Ask the world. Raises `Failure`."""
    return _ask("GET", admin, path, shape, None)


def post(admin: str | None, path: str, shape: type[T], body: Any, within_s: float = ANSWER_S) -> T:
    """Tell the world. Raises `Failure`."""
    return _ask("POST", admin, path, shape, msgspec.json.encode(body), within_s)


def _ask(
    method: str,
    admin: str | None,
    path: str,
    shape: type[T],
    body: bytes | None,
    within_s: float = ANSWER_S,
) -> T:
    address = find(admin)
    try:
        answer = httpx.request(
            method, f"{address}/{path}", content=body, timeout=within_s, trust_env=False
        )
    except (httpx.HTTPError, httpx.InvalidURL):
        raise Failure(
            "the world did not answer at its admin address: has it ended? "
            "start one with `fairlead world`",
            FAILED,
        ) from None
    if answer.status_code == 404:
        raise Failure(f"there is no world's admin server at {method} {path}: check --admin")
    if answer.is_error:
        try:
            raise Failure(str(answer.json()["error"]))
        except (ValueError, KeyError):
            raise Failure(f"the world answered {answer.status_code}", FAILED) from None
    try:
        return msgspec.json.decode(answer.content, type=shape)
    except msgspec.DecodeError as error:
        raise Failure(f"the world's answer can't be read: {error}", FAILED) from None

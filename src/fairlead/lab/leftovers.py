"""The directory where a world's cells keep their stores: gone with the world, or with the next."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "fairlead-world-"
_OURS = re.compile(rf"{PREFIX}(\d+)-")


@contextmanager
def new_store() -> Iterator[Path]:
    """A directory that ends with the block; removes those of worlds that were killed."""
    root = Path(tempfile.gettempdir())
    sweep(root)
    store = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=root))
    try:
        yield store
    finally:
        shutil.rmtree(store, ignore_errors=True)


def sweep(root: Path) -> None:
    """Remove this user's stores whose world no longer runs."""
    for path in root.glob(f"{PREFIX}*"):
        found = _OURS.match(path.name)
        if found is None or _runs(int(found[1])):
            continue
        with contextlib.suppress(OSError):
            if path.is_dir() and path.stat().st_uid == os.getuid():
                shutil.rmtree(path, ignore_errors=True)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True

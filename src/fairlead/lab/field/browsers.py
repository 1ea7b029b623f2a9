"""Chromium as the client of a field test: what it takes, and how it is started.

The page and its driver are `web/lab/`; they are of the checkout, for they need npm's packages.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

WEB = Path(__file__).parents[4] / "web"
PLACES = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
"""As in web/e2e/chromium.mjs."""


class NoBrowser(Exception):
    """No Chromium can be used here; a sentence."""


def check() -> None:
    """Raises `NoBrowser`."""
    if not any(os.path.exists(place) for place in _places()):
        raise NoBrowser(
            "there is no Chromium on this machine, which this scenario's client needs: install it, "
            "or name one in FAIRLEAD_CHROMIUM"
        )
    if shutil.which("node") is None:
        raise NoBrowser("node can't be found, which drives Chromium: install Node.js 20 or later")
    if not (WEB / "node_modules" / "playwright-core").is_dir():
        raise NoBrowser(f"{WEB / 'node_modules'} has no playwright-core: run `make setup`")


def command() -> list[str]:
    """Of a client in Chromium."""
    return ["node", str(WEB / "lab" / "person.mjs")]


def _places() -> list[str]:
    named = os.environ.get("FAIRLEAD_CHROMIUM")
    return [named] if named else list(PLACES)

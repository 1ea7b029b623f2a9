"""Browser, system and model out of a User-Agent header, where a client does not say them itself.

LiveKit's JavaScript SDK leaves them to the server. Only what device rules ask for is read: the four
engines' browsers, by the tokens that they have kept for years (a page may send any other text; it
is taken for no browser). Names are those of the uap-core tables, which LiveKit's server uses.
"""

from __future__ import annotations

import re

from livekit.protocol.models import ClientInfo

MAX_USER_AGENT = 512
"""Characters that are looked at."""

_VERSION = r"/(\d+(?:\.\d+)*)"
_BROWSERS = [
    # The more particular first: each of these also claims to be one of those below.
    ("Edge", re.compile("Edg(?:A|iOS)?" + _VERSION)),
    ("Opera", re.compile("OPR" + _VERSION)),
    ("Samsung Internet", re.compile("SamsungBrowser" + _VERSION)),
    ("Firefox Mobile", re.compile(r"Android.*Firefox" + _VERSION)),
    ("Firefox", re.compile("Firefox" + _VERSION)),
    ("Chrome Mobile iOS", re.compile("CriOS" + _VERSION)),
    ("Firefox iOS", re.compile("FxiOS" + _VERSION)),
    ("Chrome Mobile", re.compile(r"Android.*Chrome" + _VERSION)),
    ("Chrome", re.compile("Chrome" + _VERSION)),
    ("Mobile Safari", re.compile(r"(?:iPhone|iPad|iPod).*Version" + _VERSION)),
    ("Safari", re.compile(rf"Version{_VERSION}.*Safari/")),
]
_SYSTEMS = [
    ("Android", re.compile(r"Android (\d+(?:\.\d+)*)")),
    ("iOS", re.compile(r"(?:iPhone|iPad|iPod).*? OS (\d+(?:_\d+)*)")),
    ("Mac OS X", re.compile(r"Mac OS X (\d+(?:[._]\d+)*)")),
    ("Windows", re.compile(r"Windows NT (\d+(?:\.\d+)*)")),
    ("Linux", re.compile(r"Linux()")),
]
_MODEL = re.compile(r"Android [\d.]+; ([^;)]+?)(?: Build/[^;)]*)?[;)]")
REDUCED = "K"
"""The model that Chromium gives for all of them."""


def complete(client: ClientInfo, user_agent: str) -> None:
    """Fill in what a browser's client left empty."""
    if client.sdk != ClientInfo.JS:
        return
    text = user_agent[:MAX_USER_AGENT]
    for name, pattern in _BROWSERS:
        if not client.browser and (found := pattern.search(text)):
            client.browser, client.browser_version = name, found[1]
    for name, pattern in _SYSTEMS:
        if not client.os and (found := pattern.search(text)):
            client.os, client.os_version = name, found[1].replace("_", ".")
    model = _MODEL.search(text)
    if not client.device_model and model is not None and model[1] not in (REDUCED, "Mobile"):
        client.device_model = model[1]

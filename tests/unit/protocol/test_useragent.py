"""User agents as browsers send them."""

from __future__ import annotations

import pytest
from livekit.protocol.models import ClientInfo

from fairlead.protocol import useragent

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0"
ANDROID = "Mozilla/5.0 (Linux; Android 10; {}) AppleWebKit/537.36 (KHTML, like Gecko) {} Mobile"
APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("text", "browser", "system", "model"),
    [
        (f"{CHROME} Safari/537.36", "Chrome 131.0.0.0", "Linux ", ""),
        (f"{CHROME} Safari/537.36 Edg/131.0.0.0", "Edge 131.0.0.0", "Linux ", ""),
        (ANDROID.format("K", "Chrome/131.0.0.0"), "Chrome Mobile 131.0.0.0", "Android 10", ""),
        (
            ANDROID.format("SM-A042F Build/QP1A", "SamsungBrowser/27.0 Chrome/125.0.0.0"),
            "Samsung Internet 27.0",
            "Android 10",
            "SM-A042F",
        ),
        (
            "Mozilla/5.0 (Android 14; Mobile; rv:133.0) Gecko/133.0 Firefox/133.0",
            "Firefox Mobile 133.0",
            "Android 14",
            "",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; rv:133.0) Gecko/20100101 Firefox/133.0",
            "Firefox 133.0",
            "Windows 10.0",
            "",
        ),
        (
            f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {APPLE} Version/18.4 Safari/605.1.15",
            "Safari 18.4",
            "Mac OS X 10.15.7",
            "",
        ),
        (
            f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) {APPLE} Version/17.4 Mobile",
            "Mobile Safari 17.4",
            "iOS 17.4",
            "",
        ),
        ("python-requests/2.31", " ", " ", ""),
        ("", " ", " ", ""),
        ("Android " * 10_000, " ", " ", ""),
    ],
)
def test_what_a_browser_is(text: str, browser: str, system: str, model: str) -> None:
    client = ClientInfo(sdk="JS")
    useragent.complete(client, text)
    assert f"{client.browser} {client.browser_version}" == browser
    assert f"{client.os} {client.os_version}" == system
    assert client.device_model == model


def test_what_a_client_says_itself_stands() -> None:
    client = ClientInfo(sdk="JS", browser="Brave", browser_version="1", os="Haiku")
    useragent.complete(client, CHROME)
    assert (client.browser, client.browser_version, client.os) == ("Brave", "1", "Haiku")
    native = ClientInfo(sdk="ANDROID")
    useragent.complete(native, CHROME)
    assert native == ClientInfo(sdk="ANDROID")

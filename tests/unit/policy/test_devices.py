"""Devices by what real clients report of themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from livekit.protocol.models import ClientInfo

from fairlead.policy import devices
from fairlead.policy.devices import Devices, Rule

USUAL = ("video/VP8", "video/H264", "video/VP9", "video/AV1", "audio/opus", "audio/red")

# As the SDKs fill it in: Android from Build.MODEL and VERSION.RELEASE, Swift from the machine.
REPORTS: dict[str, dict[str, Any]] = {
    "python": {"sdk": "PYTHON", "version": "1.2.0", "os": "linux"},
    "cheap samsung": {
        "sdk": "ANDROID", "os": "android", "os_version": "13", "device_model": "SM-A042F",
    },
    "old android": {
        "sdk": "FLUTTER", "os": "android", "os_version": "8.1.0", "device_model": "Nexus 5X",
    },
    "redmi": {
        "sdk": "ANDROID", "os": "Android", "os_version": "12", "device_model": "Redmi Note 11",
    },
    "cheap redmi": {
        "sdk": "ANDROID", "os": "android", "os_version": "12", "device_model": "Redmi 9A",
    },
    "pixel": {"sdk": "ANDROID", "os": "android", "os_version": "15", "device_model": "Pixel 9"},
    "iphone 7": {
        "sdk": "SWIFT", "os": "iOS", "os_version": "15.8", "device_model": "iPhone9,3",
    },
    "iphone 6s": {
        "sdk": "SWIFT", "os": "iOS", "os_version": "15.8", "device_model": "iPhone8,1",
    },
    "iphone 15": {
        "sdk": "SWIFT", "os": "iOS", "os_version": "17.4", "device_model": "iPhone15,4",
    },
    "chrome": {"sdk": "JS", "browser": "Chrome", "browser_version": "131.0.0", "os": "Windows"},
    "safari 18.3": {"sdk": "JS", "browser": "Safari", "browser_version": "18.3.1", "os": "iOS"},
    "safari 18.4": {"sdk": "JS", "browser": "Safari", "browser_version": "18.4", "os": "Mac OS X"},
    "firefox": {"sdk": "JS", "browser": "Firefox", "browser_version": "133.0", "os": "Linux"},
    "firefox android": {
        "sdk": "JS", "browser": "Firefox Mobile", "browser_version": "133.0",
        "os": "Android", "os_version": "14",
    },
    "nothing": {},
}  # fmt: skip


def client(name: str) -> ClientInfo:
    return ClientInfo(**REPORTS[name])


def class_of(name: str) -> str:
    rules = devices.packaged()
    found = rules.class_of(client(name))
    return next(key for key, value in rules.classes.items() if value is found)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cheap samsung", "low"),
        ("old android", "low"),
        ("cheap redmi", "low"),
        ("iphone 6s", "low"),
        ("redmi", "mid"),
        ("pixel", "high"),
        ("iphone 7", "high"),
        ("iphone 15", "high"),
        ("python", "high"),
        ("chrome", "high"),
        ("nothing", "high"),
    ],
)
def test_the_class_of_a_device(name: str, expected: str) -> None:
    assert class_of(name) == expected


@pytest.mark.parametrize(
    ("name", "barred"),
    [
        ("safari 18.3", {"av1"}),
        ("safari 18.4", {"av1", "vp9"}),
        ("firefox", {"av1"}),
        ("firefox android", {"av1", "h264"}),
        ("chrome", set()),
        ("python", set()),
        ("cheap samsung", set()),
    ],
)
def test_what_a_client_must_not_publish(name: str, barred: set[str]) -> None:
    assert devices.packaged().barred(client(name)) == barred


def test_the_order_of_codecs() -> None:
    codecs = devices.packaged().codecs
    assert codecs(client("chrome"), USUAL) == list(USUAL)
    assert codecs(client("cheap samsung"), USUAL) == [
        "video/H264", "video/VP8", "video/VP9", "video/AV1", "audio/opus", "audio/red",
    ]  # fmt: skip
    assert codecs(client("safari 18.4"), USUAL) == [
        "video/VP8", "video/H264", "audio/opus", "audio/red",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "version", "holds"),
    [
        ("<9", "8.1.0", True),
        ("<9", "9", False),
        ("<9", "10", False),
        (">18.3", "18.3.9", False),
        (">18.3", "18.10", True),
        (">18.3", "19", True),
        (">=18.3", "18", False),
        ("<=8", "8.9", True),
        ("<9", "", False),
        ("<9", "unknown", False),
        ("<9", "9" * 10_000, False),
    ],
)
def test_versions_are_compared_by_their_numbers(rule: str, version: str, holds: bool) -> None:
    assert Rule(os_version=rule).matches(ClientInfo(os_version=version)) == holds


def test_the_first_rule_counts() -> None:
    text = """
        quirks = []
        [classes]
        low = {}
        mid = {}
        high = {}
        [[devices]]
        class = "mid"
        os = "android"
        [[devices]]
        class = "low"
        os = "*"
    """
    rules = msgspec.toml.decode(text, type=Devices)
    assert rules.class_of(ClientInfo(os="Android")) is rules.classes["mid"]
    assert rules.class_of(ClientInfo()) is rules.classes["low"]


@pytest.mark.parametrize("field", ["os", "device_model", "browser", "os_version"])
def test_a_report_of_nonsense_is_some_device(field: str) -> None:
    report = ClientInfo(**{field: "[" * 100_000 + "\x00"})
    assert devices.packaged().class_of(report) in devices.packaged().classes.values()


@pytest.mark.parametrize("rule", ["9", "=9", "<", "<9.", "<nine", "< 9"])
def test_a_version_rule_that_says_nothing_is_refused(rule: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"os_version": rule}, Rule)


def test_the_page_says_what_is_done_for_each_class() -> None:
    lines = (Path(__file__).parents[3] / "docs" / "devices.md").read_text("utf-8").splitlines()
    rows = {cells[1].strip("` "): cells for line in lines if len(cells := line.split("|")) == 6}
    for name, kind in devices.packaged().classes.items():
        height = f"{kind.receive_height}p" if kind.receive_height else "any"
        assert rows[name][2].strip() == (", ".join(kind.first_codecs) or "-")
        assert rows[name][3].strip() == height

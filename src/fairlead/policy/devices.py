"""What a device can bear, from the client's own report. The rules are data (`devices.toml`).

Clients tell their SDK, system, model and browser, never their cores; all of it may be wrong, so it
chooses what is offered first and how large a picture is sent, and refuses nothing but codecs that a
browser is known to publish badly.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Annotated, Literal

import msgspec
from livekit.protocol.models import ClientInfo
from msgspec import Meta

from fairlead.policy.overload import SlowDecoder, SlowEncoder
from fairlead.policy.scenes import Height

ClassName = Literal["low", "mid", "high"]
Codec = Literal["vp8", "vp9", "h264", "av1", "h265"]
Patterns = str | list[str]
MAX_FIELD = 128
"""Characters of a field of the report that are looked at."""
_VERSION = r"(<=|>=|<|>)\d+(\.\d+)*"
VersionRule = Annotated[str, Meta(pattern=f"^{_VERSION}$")]


class DeviceClass(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done for devices of one class."""

    about: str = ""
    """One sentence for people."""
    first_codecs: list[Codec] = []
    """Put first in what such a device may publish, and in the answers to its offers."""
    receive_height: Height = 0
    """The largest camera layer that it is sent, by its shorter side in pixels; 0 is any."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a report must say. A list names alternatives; what is absent may be anything."""

    sdk: Patterns = []
    os: Patterns = []
    os_version: VersionRule = ""
    model: Patterns = []
    browser: Patterns = []
    browser_version: VersionRule = ""

    def matches(self, client: ClientInfo) -> bool:
        """Whether a client's report says all of it."""
        return (
            _any(self.sdk, ClientInfo.SDK.Name(client.sdk) if client.sdk in _SDKS else "")
            and _any(self.os, client.os)
            and _any(self.model, client.device_model)
            and _any(self.browser, client.browser)
            and _holds(self.os_version, client.os_version)
            and _holds(self.browser_version, client.browser_version)
        )


class DeviceRule(
    Rule, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"name": "class"}
):
    """Devices of one class."""

    name: ClassName


class Quirk(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Clients with a fault."""

    no_publish: list[Codec]


class Devices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    classes: dict[ClassName, DeviceClass]
    devices: list[DeviceRule]
    quirks: list[Quirk]
    slow_decoder: SlowDecoder = SlowDecoder()
    slow_encoder: SlowEncoder = SlowEncoder()

    def class_of(self, client: ClientInfo) -> DeviceClass:
        """The class of a client's device: of the first rule that matches, else `high`."""
        names = (rule.name for rule in self.devices if rule.matches(client))
        return self.classes[next(names, "high")]

    def barred(self, client: ClientInfo) -> set[str]:
        """The codecs that a client must not publish, as in ``av1``."""
        return {
            codec for quirk in self.quirks if quirk.matches(client) for codec in quirk.no_publish
        }

    def codecs(self, client: ClientInfo, usual: Sequence[str]) -> list[str]:
        """What a client may publish, of ``usual`` (mime types): without what is barred, what its
        class puts first at the front."""
        barred, first = self.barred(client), self.class_of(client).first_codecs
        allowed = [mime for mime in usual if _codec(mime) not in barred]
        return sorted(allowed, key=lambda mime: _codec(mime) not in first)


@functools.cache
def packaged() -> Devices:
    """The rules that come with Fairlead."""
    text = resources.files("fairlead.policy").joinpath("devices.toml").read_text("utf-8")
    return msgspec.toml.decode(text, type=Devices)


_SDKS = set(ClientInfo.SDK.values())


def _codec(mime: str) -> str:
    return mime.partition("/")[2].lower()


def _any(patterns: Patterns, value: str) -> bool:
    listed = [patterns] if isinstance(patterns, str) else patterns
    told = value[:MAX_FIELD].lower()
    return not listed or any(fnmatch.fnmatchcase(told, pattern.lower()) for pattern in listed)


_COMPARE: dict[str, Callable[[list[int], list[int]], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _holds(rule: str, version: str) -> bool:
    """Whether a version satisfies a rule such as ``<9``; one that is not told satisfies none. Only
    as many numbers as the rule has are compared: 18.3.1 is not above 18.3."""
    if not rule:
        return True
    asked = [int(number) for number in re.findall(r"\d+", rule)]
    told = [int(number) for number in re.findall(r"\d{1,9}", version[:MAX_FIELD])[: len(asked)]]
    told += [0] * (len(asked) - len(told)) if told else []
    sign = rule.rstrip("0123456789.")
    return bool(told) and _COMPARE[sign](told, asked)

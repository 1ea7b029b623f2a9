"""Figures as people write them: ``80ms``, ``10s``, ``5%``, ``500kbps``."""

from __future__ import annotations

import re

from fairlead.cli.failure import Failure
from fairlead.lab.worldfile import share

_NUMBER = re.compile(r"\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-zA-Z/]*)\s*")
_TO_MS = {"": 1.0, "ms": 1.0, "s": 1_000.0}
_TO_S = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}
_TO_KBPS = {"": 1.0, "k": 1.0, "kbps": 1.0, "kb/s": 1.0, "m": 1e3, "mbps": 1e3, "mb/s": 1e3}


def milliseconds(option: str, text: str | None) -> float | None:
    """``80ms``, ``0.08s`` or ``80``. Raises `Failure`."""
    return _scaled(option, text, _TO_MS, "80ms")


def seconds(option: str, text: str | None) -> float | None:
    """``10s``, ``2m``, ``500ms`` or ``10``. Raises `Failure`."""
    return _scaled(option, text, _TO_S, "10s")


def kilobits(option: str, text: str | None) -> int | None:
    """``500kbps``, ``2mbps`` or ``500``. Raises `Failure`."""
    value = _scaled(option, text, _TO_KBPS, "500kbps")
    return None if value is None else round(value)


def portion(option: str, text: str | None) -> float | None:
    """``5%`` or ``0.05``. Raises `Failure`."""
    if text is None:
        return None
    try:
        return share(text)
    except ValueError as error:
        raise Failure(f"{option}: {error}") from None


def _scaled(option: str, text: str | None, units: dict[str, float], example: str) -> float | None:
    if text is None:
        return None
    found = _NUMBER.fullmatch(text)
    if found is None or found["unit"].lower() not in units:
        raise Failure(f"{option}: {text!r} is not a figure such as {example}")
    return float(found["number"]) * units[found["unit"].lower()]

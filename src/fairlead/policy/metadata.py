"""What a room's metadata says to us: ``{"fairlead": {"regions": ["jakarta"], "scene": "..."}}``."""

from __future__ import annotations

from typing import Any

import msgspec

KEY = "fairlead"
"""The key of a room's metadata that is ours; the rest is the app's."""
KNOWN = ("regions", "scene")


class BadMetadata(ValueError):
    """Metadata that speaks of us and can't be understood; its text is one plain sentence without
    an end."""


def ours(metadata: str) -> dict[str, Any]:
    """What a room's metadata says to us. Metadata that does not speak of us is the app's own and
    says nothing. Raises `BadMetadata`: a room must not run otherwise than it was meant."""
    try:
        value: Any = msgspec.json.decode(metadata)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        if metadata.lstrip().startswith("{") and f'"{KEY}"' in metadata:
            raise BadMetadata(
                f'the room metadata has the key "{KEY}" but is no valid JSON'
            ) from None
        return {}
    if not isinstance(value, dict) or KEY not in value:
        return {}
    said = value[KEY]
    where = f"the room metadata's {KEY}"
    if not isinstance(said, dict):
        raise BadMetadata(f'{where} must be an object such as {{"regions": ["jakarta"]}}')
    for key in said:
        if key not in KNOWN:
            raise BadMetadata(
                f"{where} has the unknown key {key[:40]!r}: only {' and '.join(KNOWN)} are known"
            )
    return said

"""What a client says of itself, where it may not have heard its own last change yet."""

from __future__ import annotations

BELIEVED_S = 2.0
"""A client may take a value that was replaced this long ago for the one that stands."""


class OwnFields:
    """The name and the metadata that were replaced of late.

    SDKs send both with every change, the one that does not change as they know it, and some let a
    call return before they have taken in the update that came ahead of its response: the next call
    would then undo the last. So a value just replaced, sent along with a change of something else,
    is no wish to have it back.
    """

    def __init__(self) -> None:
        self._replaced: dict[str, tuple[str, float]] = {}

    def replaced(self, now: float, field: str, value: str) -> None:
        """The field had this value until `now` (seconds)."""
        self._replaced[field] = (value, now)

    def meant(
        self, now: float, current: dict[str, str], asked: dict[str, str], more: bool
    ) -> dict[str, str]:
        """Name and metadata as meant at `now` (seconds). An empty one stays; `more` says whether
        something beside them changes."""
        meant = {field: value or current[field] for field, value in asked.items()}
        stale = {field for field in meant if self._is_stale(now, field, meant[field], current)}
        news = {field for field in meant if meant[field] != current[field]} - stale
        if news or more:
            meant |= {field: current[field] for field in stale}
        return meant

    def _is_stale(self, now: float, field: str, value: str, current: dict[str, str]) -> bool:
        before, until = self._replaced.get(field, ("", float("-inf")))
        return value == before != current[field] and now - until <= BELIEVED_S

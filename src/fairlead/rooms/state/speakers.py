"""Who speaks in a room, and what of that each session has not been told."""

from __future__ import annotations

from collections.abc import Mapping

from livekit.protocol.models import SpeakerInfo

Level = tuple[float, bool]
"""(0 silent to 1, whether it counts as speech)."""

SILENT: Level = (0.0, False)
UNSURE: Level = (-1.0, True)
"""What a session was told, if nobody knows whether it heard it: like no level that there is."""


class Speakers:
    """The last level of each audio track, by participant."""

    def __init__(self) -> None:
        self._levels: dict[str, dict[str, Level]] = {}

    def hear(self, participant: str, track: str, level: float, active: bool) -> None:
        self._levels.setdefault(participant, {})[track] = (round(level, 3), active)

    def forget(self, participant: str, track: str) -> None:
        """The track ended."""
        tracks = self._levels.get(participant)
        if tracks is not None:
            tracks.pop(track, None)
            if not tracks:
                del self._levels[participant]

    def level(self, participant: str) -> Level:
        """The loudest of its tracks."""
        levels = self._levels.get(participant, {}).values()
        return max((level for level in levels if level[1]), default=SILENT)


def news(told: dict[str, Level], now: Mapping[str, Level]) -> list[SpeakerInfo]:
    """What changed of the participants of ``now`` against what a session was ``told``, which is
    brought up to date. Silence after silence is no news."""
    changed = []
    for sid, level in now.items():
        before = told.get(sid, SILENT)
        if level == before:
            continue
        if level[1]:
            told[sid] = level
        else:
            told.pop(sid, None)
        changed.append(SpeakerInfo(sid=sid, level=level[0], active=level[1]))
    return changed

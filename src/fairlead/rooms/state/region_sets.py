"""The different sets of regions that the rooms of one edge have: the network must know each."""

from __future__ import annotations

from fairlead.policy.regions import EVERYWHERE, RegionSet


class RegionSets:
    """Which sets are in use, by which rooms. Everywhere is none."""

    def __init__(self) -> None:
        self._of: dict[str, frozenset[RegionSet]] = {}
        self._uses: dict[RegionSet, int] = {}
        """Rooms that have it."""
        self._changed = False

    def __contains__(self, regions: RegionSet) -> bool:
        return regions in self._uses

    def __len__(self) -> int:
        return len(self._uses)

    def hold(self, room: str, *sets: RegionSet) -> None:
        """The sets that a room has from now on; without any, it has none."""
        now = frozenset(sets) - {EVERYWHERE}
        before = self._of.get(room, frozenset())
        if now == before:
            return
        if now:
            self._of[room] = now
        else:
            del self._of[room]
        for regions in now - before:
            self._changed |= regions not in self._uses
            self._uses[regions] = self._uses.get(regions, 0) + 1
        for regions in before - now:
            self._uses[regions] -= 1
            if not self._uses[regions]:
                del self._uses[regions]
                self._changed = True

    def news(self) -> list[list[str]] | None:
        """All of them in order, if they are others than at the last call."""
        if not self._changed:
            return None
        self._changed = False
        return sorted(sorted(regions) for regions in self._uses)

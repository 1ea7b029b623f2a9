"""What the emulated ways of a world are set to: each direction of each link, and each port pair.

Not here: telling the nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from fairlead.lab.worldfile import Pair
from fairlead.server.config import Weather


class Way(NamedTuple):
    """One direction of a link; of one port pair alone if ``pair`` is a number."""

    origin: str
    to: str
    pair: int | None = None

    @property
    def link(self) -> frozenset[str]:
        """Its two ends."""
        return frozenset((self.origin, self.to))

    @property
    def whole(self) -> Way:
        """The same with all its port pairs."""
        return Way(self.origin, self.to)


def ways(a: str, b: str, pair: int | None = None, one_way: bool = False) -> list[Way]:
    """From ``a`` to ``b``, and back unless ``one_way``."""
    there = Way(a, b, pair)
    return [there] if one_way else [there, Way(b, a, pair)]


class Ways:
    """The weather of every way. A port pair without its own has that of its direction."""

    def __init__(self, links: Mapping[Pair, Weather]) -> None:
        self._weather: dict[Way, Weather] = {
            way: weather for (a, b), weather in links.items() for way in ways(a, b)
        }
        self._changes: dict[frozenset[str], int] = {}

    def __getitem__(self, way: Way) -> Weather:
        return self._weather.get(way) or self._weather[way.whole]

    def own(self, a: str, b: str) -> dict[Way, Weather]:
        """Port pairs of a link that have weather of their own."""
        link = frozenset((a, b))
        return {
            way: weather
            for way, weather in self._weather.items()
            if way.pair is not None and way.link == link
        }

    def is_open(self, a: str, b: str) -> bool:
        """Whether packets pass both ways on some port pair that has no weather of its own."""
        return not any(self._weather[way].cut for way in ways(a, b))

    def set(self, way: Way, weather: Weather) -> list[Way]:
        """Change a way; returns those that nodes must be told, in order.

        A whole direction takes its port pairs with it.
        """
        self._changes[way.link] = self.change(way) + 1
        self._weather[way] = weather
        if way.pair is not None:
            return [way]
        single = [one for one in self._weather if one != way and one.whole == way]
        for one in single:
            del self._weather[one]
        return [way, *single]

    def snapshot(self, a: str, b: str) -> dict[Way, Weather]:
        """Both directions of a link and its port pairs, to be set again in this order."""
        return {way: self[way] for way in ways(a, b)} | self.own(a, b)

    def change(self, way: Way) -> int:
        """Grows with each change of the link."""
        return self._changes.get(way.link, 0)

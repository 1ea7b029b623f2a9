"""Faults of a running world: a cable cut, a node killed, weather; and the world as it is.

What happens is decided by a seed and by the paths of the moment, and every fault is written down.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

ANSWER_S = 60.0
"""A node that is started again answers when it stands."""


@dataclass
class Fault:
    """Something that was done to the world, and when it was undone."""

    kind: Literal["cut", "cut one way", "kill", "weather"]
    where: list[str]
    """The two ends of a link, or one region."""
    at: float
    """On the monotonic clock."""
    until: float | None = None
    what: dict[str, Any] = field(default_factory=dict)
    """The weather, if it is that."""

    @property
    def words(self) -> str:
        """As a table shows it."""
        return f"{self.kind} {'-'.join(self.where)}"


@dataclass(frozen=True)
class Path:
    """The way of a call: the regions in order, and the way that stands by."""

    first: list[str]
    second: list[str] | None
    leased: bool

    @property
    def links(self) -> list[tuple[str, str]]:
        """Of the first path."""
        return list(zip(self.first, self.first[1:], strict=False))

    def is_hit(self, fault: Fault) -> bool:
        """Whether a fault is on the first path."""
        if fault.kind == "kill":
            return fault.where[0] in self.first
        return any(set(link) == set(fault.where) for link in self.links)


class Wrecker:
    """Speaks to a world's admin server and keeps the log of what it did."""

    def __init__(self, admin: str) -> None:
        self.log: list[Fault] = []
        self._http = httpx.AsyncClient(base_url=admin, timeout=ANSWER_S, trust_env=False)

    async def aclose(self) -> None:
        """Close the connection; what was broken stays broken."""
        await self._http.aclose()

    async def state(self) -> dict[str, Any]:
        """`fairlead routes` and `fairlead link list` in one."""
        return dict((await self._http.get("/state")).raise_for_status().json())

    async def nodes(self) -> dict[str, Any]:
        """What each node says of itself; None for one that has ended."""
        return dict((await self._http.get("/nodes")).raise_for_status().json())

    async def begin(self, fault: Fault) -> Fault:
        """Do it and write it down."""
        fault.at = time.monotonic()
        self.log.append(fault)
        match fault.kind:
            case "kill":
                await self._post("kill", region=fault.where[0])
            case "weather":
                await self._post("link", a=fault.where[0], b=fault.where[1], **fault.what)
            case "cut" | "cut one way":
                one_way = fault.kind == "cut one way"
                a, b = fault.where
                await self._post("link", a=a, b=b, cut=True, one_way=one_way)
        return fault

    async def end(self, fault: Fault) -> None:
        """Undo it: heal the link, or start the node again and wait until it stands."""
        if fault.kind == "kill":
            await self._post("start", region=fault.where[0])
        else:
            await self._post("link", a=fault.where[0], b=fault.where[1], heal=True)
        fault.until = time.monotonic()

    async def _post(self, what: str, **wish: Any) -> None:
        answer = await self._http.post(f"/{what}", json=wish)
        if answer.is_error:
            raise RuntimeError(f"the world refused {what} {wish}: {answer.text}")


def paths(state: dict[str, Any], calls: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Path]:
    """The paths of these calls, from `Wrecker.state`; a call without a path is absent."""
    found = {}
    for path in state["paths"]:
        call = (path["from"], path["to"])
        if call in calls and not path["regions"]:
            second = path["second"]
            found[call] = Path(
                first=[call[0], *path["via"], call[1]],
                second=None if second is None else [call[0], *second, call[1]],
                leased=path["leased"],
            )
    return found


def choose(
    dice: random.Random,
    taken: dict[tuple[str, str], Path],
    relay_share: float,
    unprotected: bool = False,
) -> Fault | None:
    """A link of a call's first path, or, with that chance, one of its relays.

    None if no call has a second path and ``unprotected`` ones are to be left alone.
    """
    protected = [
        path for _, path in sorted(taken.items()) if unprotected or path.second is not None
    ]
    if not protected:
        return None
    ends = {end for call in taken for end in call}
    relays = sorted({relay for path in protected for relay in path.first[1:-1]} - ends)
    if relays and dice.random() < relay_share:
        return Fault("kill", [dice.choice(relays)], 0.0)
    a, b = dice.choice(dice.choice(protected).links)
    if dice.random() < 0.2:
        return Fault("cut one way", dice.sample([a, b], 2), 0.0)
    return Fault("cut", [a, b], 0.0)

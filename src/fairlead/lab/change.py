"""A wish to change a world's link, as the command line and the demo page send it."""

from __future__ import annotations

import anyio.abc
import msgspec

from fairlead.lab.view import LinkView
from fairlead.lab.view import link as view_of_link
from fairlead.lab.ways import ways
from fairlead.lab.world import World
from fairlead.server.config import Weather, check_pair, check_weather
from fairlead.server.toml import ConfigError

LONGEST_S = 86_400.0


class LinkChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What differs from now on; None stays as it is."""

    a: str
    b: str
    one_way: bool = False
    """Only from ``a`` to ``b``."""
    pair: int | None = None
    """Of one port pair alone, 0 to 3."""
    heal: bool = False
    """Start from the weather that the world began with, not cut."""
    cut: bool | None = None
    delay_ms: float | None = None
    """One way."""
    jitter_ms: float | None = None
    loss: float | None = None
    rate_kbps: int | None = None
    for_s: float | None = None
    """Undo it after so many seconds."""


async def apply(world: World, change: LinkChange, tasks: anyio.abc.TaskGroup) -> LinkView:
    """Change the link. Raises `ConfigError` for a wish that makes no sense."""
    link = world.spec.pair(change.a, change.b)
    name = f"link {link[0]}-{link[1]}"
    check_pair(change.pair, name)
    differs = {
        field: value
        for field in ("cut", "delay_ms", "jitter_ms", "loss", "rate_kbps")
        if (value := getattr(change, field)) is not None
    }
    if not differs and not change.heal:
        raise ConfigError(
            "nothing to change: give cut, delay_ms, jitter_ms, loss, rate_kbps or heal"
        )
    wished = {}
    for way in ways(change.a, change.b, change.pair, change.one_way):
        before = world.healed(*link) if change.heal else world.weather[way]
        weather = wished[way] = Weather(**{**msgspec.structs.asdict(before), **differs})
        check_weather(weather, name)
    if change.for_s is None:
        await world.set_ways(wished)
    elif 0 < change.for_s <= LONGEST_S:
        await world.set_ways_for(wished, change.for_s, tasks)
    else:
        raise ConfigError(f"for_s is {change.for_s}: it must be over 0 and at most {LONGEST_S:.0f}")
    return view_of_link(world, link)

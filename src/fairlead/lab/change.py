"""A wish to change a world's link, as the command line and the demo page send it."""

from __future__ import annotations

import anyio.abc
import msgspec

from fairlead.lab.view import LinkView, link
from fairlead.lab.world import World
from fairlead.server.config import Weather, check_weather
from fairlead.server.toml import ConfigError

LONGEST_S = 86_400.0


class LinkChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What differs from now on; None stays as it is."""

    a: str
    b: str
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
    """Change the link, both ways. Raises `ConfigError` for a wish that makes no sense."""
    pair = world.spec.pair(change.a, change.b)
    weather = world.healed(*pair) if change.heal else world.weather[pair]
    differs = {
        field: value
        for field in ("cut", "delay_ms", "jitter_ms", "loss", "rate_kbps")
        if (value := getattr(change, field)) is not None
    }
    if not differs and not change.heal:
        raise ConfigError(
            "nothing to change: give cut, delay_ms, jitter_ms, loss, rate_kbps or heal"
        )
    weather = Weather(**{**msgspec.structs.asdict(weather), **differs})
    check_weather(weather, f"link {pair[0]}-{pair[1]}")
    if change.for_s is None:
        await world.set_link(*pair, weather)
    elif 0 < change.for_s <= LONGEST_S:
        await world.set_link_for(*pair, weather, change.for_s, tasks)
    else:
        raise ConfigError(f"for_s is {change.for_s}: it must be over 0 and at most {LONGEST_S:.0f}")
    return link(world, pair)

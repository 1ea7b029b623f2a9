"""Other calls behind the same networks, and how fairly the pictures of all share these."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fairlead.lab.field import voice
from fairlead.lab.field.clock import until
from fairlead.lab.field.measure import Listened, listened
from fairlead.lab.field.meeting import await_call, invite
from fairlead.lab.field.networks import Networks
from fairlead.lab.field.people import Order, Told
from fairlead.lab.field.process import Person, await_namespace, started
from fairlead.lab.field.scenario import WAYS, Beside, Scenario, Way
from fairlead.lab.field.servers import Servers
from fairlead.lab.field.watching import Watched, watched

JOIN_S = 4.0
"""From the call's beginning until it is judged: clients connect, jitter buffers find their size."""
SHARE_S = 10.0
"""From when the last one came until all have found what is theirs."""
JUDGED_S = 5.0
"""How much of the time that is shared must be left, or nothing is said of it."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one of them; times in seconds after the first call's beginning."""

    name: str
    at: float
    ways: dict[Way, Listened]
    seen: dict[Way, Watched]


@dataclass(frozen=True)
class Couple:
    """Two people who will have such a call."""

    plan: Beside
    people: tuple[Person, Person]
    """The first is behind the networks."""

    async def meet(
        self, scenario: Scenario, servers: Servers, said: Path, folder: Path, start: float
    ) -> None:
        """Have the call as planned. Raises `RunFailed`."""
        await until(start + self.plan.at)
        await invite(scenario, servers, self.people, said, folder)
        await await_call(self.people)
        if self.plan.paused:
            for moment, shows in zip(self.plan.paused, (False, True), strict=True):
                await until(start + moment)
                for person in self.people:
                    await person.say(Order(shows=shows))

    def call(self, scenario: Scenario, told: Mapping[str, Told], start: float, end: float) -> Call:
        """What came of it."""
        inside, outside = (told[person.name] for person in self.people)
        ends = {"up": (inside, outside), "down": (outside, inside)}
        since, spoken = self.plan.at + JOIN_S, voice.of(scenario.voice)
        return Call(
            name=self.people[0].name,
            at=self.plan.at,
            ways={way: listened(*ends[way], start, end, since, spoken) for way in WAYS},
            seen={
                way: watched(*ends[way], start, end, since) for way in WAYS if scenario.shows(way)
            },
        )


@asynccontextmanager
async def couples(
    scenario: Scenario, networks: Networks, client: list[str], names: tuple[str, str], folder: Path
) -> AsyncIterator[list[Couple]]:
    """The people of all further calls, by the command of their client."""
    async with AsyncExitStack() as stack:
        found = []
        for number, plan in enumerate(scenario.beside, start=2):
            here, there = (f"{name}{number}" for name in names)
            apart = plan.delay_ms > 0
            inside = client if apart else networks.inside(client)
            people = (
                await stack.enter_async_context(started(here, inside, folder, apart=apart)),
                await stack.enter_async_context(started(there, client, folder, apart=False)),
            )
            if apart:
                await await_namespace(people[0].pid)
                await networks.lead_to(people[0].pid, plan.delay_ms)
            found.append(Couple(plan, people))
        yield found


def shared_from(scenario: Scenario) -> float | None:
    """When all calls are there, all show pictures, and have had time to share; None if never for
    long enough."""
    moments = [moment for one in scenario.beside for moment in (one.at + JOIN_S, *one.paused)]
    since = max([scenario.judged_from, *moments]) + SHARE_S
    return since if scenario.beside and since <= scenario.seconds - JUDGED_S else None


def fairness(rates: Sequence[float]) -> float | None:
    """Jain's index of what each got (RFC 5166 section 2.3.1): 1 where all got the same, 1/n where
    one got everything; None if nobody got anything."""
    squares = len(rates) * sum(rate * rate for rate in rates)
    return sum(rates) ** 2 / squares if squares else None

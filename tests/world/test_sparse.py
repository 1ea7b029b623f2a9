"""A world in which two relays join what has no link: random cuts and deaths, one after the other.

The links of `scenarios/detour.toml`. Faults come faster than holds end, so that links on hold are
all that is left again and again.
"""

from __future__ import annotations

import random

import pytest

from fairlead.lab.regions import KNOWN, measured
from tests.world.network import Network, Place

pytestmark = pytest.mark.native

NAMES = ("jakarta", "singapore", "mumbai", "frankfurt", "sydney")
JAKARTA, SINGAPORE, MUMBAI, FRANKFURT, SYDNEY = range(1, 6)
APART = ({JAKARTA, FRANKFURT}, {FRANKFURT, SYDNEY})
PEOPLE = (JAKARTA, FRANKFURT, SYDNEY)
STREAMS = 12
FAULTS = 14


def delay_ms(a: int, b: int) -> float | None:
    if {a, b} in APART:
        return None
    rtt = measured().rtt_ms(KNOWN[NAMES[a - 1]], KNOWN[NAMES[b - 1]])
    assert rtt is not None
    return rtt / 2


@pytest.mark.parametrize("seed", [3, 5, 8])
def test_faults_one_after_the_other_lose_nothing(seed: int) -> None:
    network = Network(
        seed, [Place(name) for name in NAMES], delay_ms, controllers=range(1, 6), jitter_ms=1.0
    )
    dice = random.Random(seed)
    links = [(a, b) for a in range(1, 6) for b in range(a + 1, 6) if {a, b} not in APART]
    network.run(6.0)
    voices = []
    for _ in range(STREAMS):
        source, target = dice.sample(PEOPLE, 2)
        voice = network.sim.publish(source, "audio")
        network.sim.subscribe(target, voice)
        voices.append((source, target, voice))
    network.run(12.0)
    log: list[tuple[float, str]] = []
    for _ in range(FAULTS):
        at = network.now + dice.uniform(7.0, 9.0)
        end = at + dice.uniform(3.0, 5.0)
        a, b = dice.sample(dice.choice(links), 2)
        match dice.choices(("cut", "one way", "kill"), (4, 1, 5))[0]:
            case "kill":
                victim = dice.choice((SINGAPORE, MUMBAI))
                network.kill(victim, at)
                network.start(victim, end)
                log.append((at, f"kill {NAMES[victim - 1]}"))
            case "cut":
                network.sim.fault(at, "cut", a, b)
                network.sim.fault(end, "mend", a, b)
                log.append((at, f"cut {a}-{b}"))
            case _:
                network.sim.fault(at, "cut_way", a, b)
                network.sim.fault(end, "mend_way", a, b)
                log.append((at, f"cut {a} to {b}"))
        begin = network.now - 1.0
        network.run(end + 1.0)
        for source, target, voice in voices:
            heard = network.figures(target, voice, begin, network.now - 1.0)
            assert heard.lost == 0, (source, target, heard, log[-4:])
    assert network.sim.violations == []

"""What the controller takes and how good its paths are: `python -m bench.routing`.

Times are CPU milliseconds of one whole computation (every node's links record taken in, first and
second paths of all pairs, records out). The network is synthetic: towns on a plane, ways up to 60 %
longer than straight, every tenth link with one of 30 risk labels, five providers, 40 countries.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from itertools import pairwise, permutations
from typing import Any

import numpy as np

from fairlead.lab.regions import COLUMNS, Matrix, Region, measured
from fairlead.policy import regions
from fairlead.routing.controller import Controller
from fairlead.routing.inputs import LinksHeard, NodeHeard, Publish
from fairlead.routing.network import Network, Weighed
from fairlead.routing.paths import NONE
from fairlead.routing.tables import Tables
from fairlead.types import LinksRecord, LinkState, NodeRecord, RegionSetsRecord, RoutesRecord

POLICIES = 100_000
SIZES = (100, 300)
TARGET_MS = 100.0


def node(number: int, region: str, *, relay: bool = True, kind: int = 0) -> NodeRecord:
    return NodeRecord(
        node=number,
        region=region,
        url="",
        mesh_addresses=[],
        mesh_key=bytes(32),
        started_at=1,
        controller=True,
        relay=relay,
        provider=f"provider-{kind % 5}",
        country=f"country-{kind % 40}",
    )


def links(rtts: np.ndarray[Any, Any], rng: np.random.Generator) -> list[LinksRecord]:
    size = len(rtts)
    return [
        LinksRecord(
            node=a + 1,
            links=[
                LinkState(
                    peer=b + 1,
                    up=bool(np.isfinite(rtts[a, b])),
                    rtt_ms=float(rtts[a, b]) if np.isfinite(rtts[a, b]) else None,
                    jitter_ms=1.0,
                    kbps_out=1000.0,
                    capacity_kbps=100_000,
                    price_per_gb=0.02,
                    risks=[f"cable-{rng.integers(30)}"] if rng.random() < 0.1 else [],
                )
                for b in range(size)
                if a != b
            ],
        )
        for a in range(size)
    ]


def plane(size: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    towns = rng.random((size, 2)) * 200.0
    straight = np.hypot(*(towns[:, None] - towns).transpose(2, 0, 1))
    inflated = straight * (1.0 + 0.6 * rng.random((size, size))) + 2.0
    both: np.ndarray[Any, Any] = np.maximum(inflated, inflated.T)
    return both


def controller_times(size: int, rounds: int = 5) -> dict[str, float]:
    """CPU ms of the first computation and of the later ones, which also hold on to paths."""
    rng = np.random.default_rng(size)
    rtts = plane(size, rng)
    controller = Controller(node(1, "r1"))
    for number in range(2, size + 1):
        controller.handle(0.0, NodeHeard(record=node(number, f"r{number}", kind=number)))
    now, taken = 0.0, []
    for turn in range(rounds + 1):
        said = links(rtts * (1.0 + 0.05 * rng.random(rtts.shape)), rng)
        now += 60.0
        begin = time.process_time()
        out = controller.handle_all(now, [LinksHeard(record=record) for record in said])
        taken.append((time.process_time() - begin) * 1000.0)
        if turn == 0:
            assert sum(_is_table(output) for output in out) == size
    return {"first_ms": taken[0], "later_ms": statistics.median(taken[1:])}


def _is_table(output: object) -> bool:
    return isinstance(output, Publish) and isinstance(output.record, RoutesRecord)


def worst_path() -> dict[str, float]:
    """How much more paths cost than the best over at most two relays, by brute force: on the 21
    regions as measured, and on 200 random networks of 8 nodes with dead links."""
    places = list(COLUMNS.values())
    matrix = measured()
    rtts = np.array([[_rtt(matrix, a, b) for b in places] for a in places])
    np.fill_diagonal(rtts, np.inf)
    worst, pairs = _excess(rtts), len(places) * (len(places) - 1)
    rng = np.random.default_rng(5)
    for _ in range(200):
        random = rng.integers(1, 300, (8, 8)).astype(float)
        random[rng.random((8, 8)) < 0.3] = np.inf
        np.fill_diagonal(random, np.inf)
        worst, pairs = max(worst, _excess(np.maximum(random, random.T))), pairs + 56
    return {"worst_excess_percent": 100.0 * worst, "pairs": float(pairs)}


def _rtt(matrix: Matrix, a: Region, b: Region) -> float:
    return matrix.rtt_ms(a, b) or np.inf


def _excess(rtts: np.ndarray[Any, Any]) -> float:
    state = _weighed(rtts)
    table = Tables().compute(state, {})[0]
    worst, size = 0.0, len(rtts)
    for a in range(size):
        for b in range(size):
            if a == b:
                continue
            others = [k for k in range(size) if k not in (a, b)]
            best = min(
                sum(state.cost[hop] for hop in pairwise((a, *via, b))) + len(via)
                for count in range(3)
                for via in permutations(others, count)
            )
            path = table.firsts.at(a, b)
            if path is None:
                assert not np.isfinite(best)
                continue
            worst = max(worst, path.cost / best - 1.0)
    return worst


def _weighed(rtts: np.ndarray[Any, Any]) -> Weighed:
    network = Network(node(1, "r1"))
    for number in range(2, len(rtts) + 1):
        network.node_heard(node(number, f"r{number}"))
    for record in links(rtts, np.random.default_rng(1)):
        network.links_heard(record)
    return network.weigh(0.0)


def violations(count: int = POLICIES) -> dict[str, int]:
    """Random region sets on networks of random dead links, before and after a relay of the paths
    fails: every node of every path must be in the set."""
    rng = np.random.default_rng(11)
    checked = broken = paths = 0
    while checked < count:
        size = int(rng.integers(4, 9))
        rtts = plane(size, rng)
        names = [f"r{rng.integers(1, 7)}" for _ in range(size)]
        network = Network(node(1, names[0]))
        for number in range(2, size + 1):
            relay = bool(rng.random() < 0.9)
            network.node_heard(node(number, names[number - 1], relay=relay, kind=number))
        sets = {
            frozenset(rng.choice(6, int(rng.integers(1, 6)), replace=False) + 1) for _ in range(40)
        }
        wanted = [sorted(f"r{n}" for n in chosen) for chosen in sets]
        network.sets_heard(RegionSetsRecord(node=1, sets=wanted))
        tables, now = Tables(), 0.0
        for _ in range(3):  # whole, then two failures
            for record in links(rtts, rng):
                network.links_heard(record)
            state = network.weigh(now)
            computed = tables.compute(state, network.policies)
            for names_of in wanted:
                tag = regions.region_tag(names_of)
                table = computed[tag]
                lawful = {n for n, record in network.nodes.items() if record.region in names_of}
                relays = {n for n in lawful if network.nodes[n].relay}
                broken += len(set(table.order) - lawful)
                for choice in (table.firsts, table.seconds):
                    there = np.isfinite(choice.cost)
                    paths += int(there.sum())
                    for via in (choice.first, choice.last):
                        used = np.unique(via[there & (via != NONE)])
                        broken += sum(table.order[place] not in relays for place in used)
            checked += len(wanted)
            a, b = rng.integers(0, size, 2)
            rtts[a, b] = rtts[b, a] = np.inf
            now += 5.0
    return {"policies": checked, "paths": paths, "violations": broken}


def main() -> None:
    figures: dict[str, Any] = {f"controller_{size}": controller_times(size) for size in SIZES}
    figures["optimum"] = worst_path()
    figures["policies"] = violations()
    if "--json" in sys.argv[1:]:
        print(json.dumps(figures))
        return
    for size in SIZES:
        taken = figures[f"controller_{size}"]
        target = f"target {TARGET_MS:.0f} ms" if size == 100 else "no target"
        print(
            f"controller, {size} nodes     first {taken['first_ms']:.0f} ms, "
            f"later {taken['later_ms']:.0f} ms of CPU ({target})"
        )
    best = figures["optimum"]
    print(
        f"path cost over optimum    {best['worst_excess_percent']:.2f} % at worst, "
        f"{best['pairs']:.0f} pairs (target 2 %)"
    )
    kept = figures["policies"]
    print(
        f"policy violations         {kept['violations']} in {kept['policies']} random policies, "
        f"{kept['paths']} paths, failover included (target 0)"
    )


if __name__ == "__main__":
    main()

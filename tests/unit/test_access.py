import importlib.util
import os
from collections.abc import Iterator

import pytest

if importlib.util.find_spec("fairlead._core") is None:
    pytest.skip("the packet path is not built", allow_module_level=True)
from fairlead import core

pytestmark = pytest.mark.native


@pytest.fixture
def network() -> Iterator[core.AccessNetwork]:
    network = core.AccessNetwork(1)
    yield network
    network.close()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"delay_ms": -1.0}, r"delay_ms is -1; allowed: 0 to 3600000"),
        ({"delay_ms": float("nan")}, "delay_ms is NaN"),
        ({"delay_ms": 1e18}, "delay_ms is 1000000000000000000"),
        ({"jitter_ms": -0.5}, r"jitter_ms is -0.5"),
        ({"loss": 1.5}, r"loss is 1.5; allowed: 0.0 to 1.0"),
        ({"loss": 0.1, "burst": 0.0}, "burst is 0; allowed: 1 to 1000000"),
        ({"outage_every_ms": 100.0}, "outage_ms is None"),
        ({"outage_ms": 100.0}, "outage_every_ms is None"),
        ({"outage_every_ms": 1.0, "outage_ms": -1.0}, "outage_ms is -1"),
        ({"outage_every_ms": 1.0, "outage_ms": 1.0, "loss": 2.0}, "loss is 2"),
        ({"outage_every_ms": 1.0, "outage_ms": 1.0, "burst": 2.0}, "burst is 2; allowed: 1 where"),
        ({"rate_kbps": 0}, "rate_kbps is 0; allowed: 1 to"),
        ({"rate_kbps": 1, "queue_ms": -1.0}, "queue_ms is -1"),
        ({"cross_kbps": 300}, "cross_kbps is 300; allowed: more than 0 only with rate_kbps"),
        ({"cross_downloads": 1}, "cross_downloads is 1; allowed: more than 0 only with"),
        ({"rate_kbps": 1, "cross_downloads": 17}, "cross_downloads is 17; allowed: 0 to 16"),
        ({"queue_ms": 5.0}, "queue_ms is 5; allowed: a time only with rate_kbps"),
    ],
)
def test_a_value_that_cannot_be_is_named(
    network: core.AccessNetwork, values: dict[str, float], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        network.set(0, "up", **values)


def test_a_link_or_way_that_there_is_not_is_named(network: core.AccessNetwork) -> None:
    with pytest.raises(ValueError, match=r"link is 0; allowed: one that add_link\(\) gave"):
        network.set(0, "up", rate_kbps=300, queue_ms=300.0, outage_every_ms=2e3, outage_ms=150.0)
    with pytest.raises(ValueError, match="link is 3"):
        network.tally(3, "down")
    with pytest.raises(ValueError, match="link is 2"):
        network.rebind(2)
    for ask in (network.set, network.tally):
        with pytest.raises(ValueError, match="way is over; allowed: up, down"):
            ask(0, "over")


@pytest.mark.parametrize("name", ["", "0123456789abcdef", "tun%d", "a/b", "a b"])
def test_a_name_that_no_device_can_have_is_refused(network: core.AccessNetwork, name: str) -> None:
    with pytest.raises(ValueError, match="allowed: 1 to 15 letters"):
        network.add_link(name, "other")


def test_no_packet_is_late_where_there_is_none(network: core.AccessNetwork) -> None:
    assert network.lateness() == (0.0, 0.0, 0.0)


def test_closing_twice_leaves_nothing_open() -> None:
    before = os.listdir("/proc/self/fd")
    network = core.AccessNetwork(1)
    network.close()
    network.close()
    assert len(os.listdir("/proc/self/fd")) == len(before)
    with pytest.raises(ValueError, match="closed"):
        network.lateness()

"""What the doctor says of what it found, and of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead.server.config import Config, FrontSection, NodeSection
from fairlead.server.doctor import host
from fairlead.server.doctor.finding import failed, ok, report, skipped, warning
from fairlead.server.doctor.ways import turn_server


def test_the_sum_names_the_ways_that_work_the_best_first() -> None:
    result = report(
        "x", [ok("turn tcp", "."), ok("ice udp", "."), ok("dns", "."), skipped("n", ".")]
    )
    assert result.summary == "Media gets through by ice udp, turn tcp."
    assert result.status == 0


def test_what_failed_first_is_to_be_fixed_first() -> None:
    broken = failed("ice udp", "Closed.", "Open it.")
    result = report("x", [ok("ice tcp", "."), warning("w", "W.", "V."), broken, broken])
    assert result.summary == ("Media gets through by ice tcp. To fix: Open it. (1 more below it)")
    assert result.status == 1
    assert report("x", []).summary == "Nothing is wrong."


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("turn:203.0.113.5:3478?transport=udp", ("203.0.113.5", 3478, "udp")),
        ("turn:203.0.113.5:3478?transport=tcp", ("203.0.113.5", 3478, "tcp")),
        ("turns:live.example.com:443?transport=tcp", ("live.example.com", 443, "tls")),
        ("turns:live.example.com", ("live.example.com", 5349, "tls")),
        ("turn:[2001:db8::5]:3478", ("2001:db8::5", 3478, "udp")),
        ("stun:203.0.113.5:3478", None),
        ("nonsense", None),
    ],
)
def test_turn_urls(url: str, found: tuple[str, int, str] | None) -> None:
    server = turn_server(url, "user", "password")
    assert (server and (server.host, server.port, server.transport)) == found


def test_addresses_that_clients_can_not_reach_are_told() -> None:
    def verdicts(*addresses: str) -> list[str]:
        node = NodeSection(bind="0.0.0.0", addresses=list(addresses))
        return [one.verdict for one in host.addresses(Config(node=node))]

    assert verdicts("8.8.8.8") == ["ok"]
    assert verdicts("172.17.0.2", "192.168.1.5") == ["warning", "warning"]
    assert [one.verdict for one in host.addresses(Config())] == ["warning"]


def test_a_certificate_that_is_none_is_told(tmp_path: Path) -> None:
    file = tmp_path / "c.pem"
    file.write_text("nothing")
    front = FrontSection(certificate=str(file), key=str(file), host="x")
    [finding] = host.certificate(Config(front=front))
    assert finding.verdict == "failed"
    [finding] = host.certificate(Config())
    assert finding.verdict == "skipped"

"""`fairlead bench` against a world: all media across two regions, wrong keys, an interrupt."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

from tests.e2e.conftest import Ends
from tests.e2e.worlds import Edge

TIMEOUT_S = 90


def command(edges: list[Edge], *arguments: str) -> list[str]:
    urls = [word for edge in edges for word in ("--url", edge.url)]
    keys = ["--api-key", edges[0].key, "--api-secret", edges[0].secret]
    return [sys.executable, "-m", "fairlead.cli", "bench", *urls, *keys, *arguments, "--json"]


def bench(edges: list[Edge], *arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        command(edges, *arguments), capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, report


def test_voice_layers_and_data_reach_everyone_in_another_region(ends: Ends) -> None:
    kinds = ["audio", "video", "data"]
    status, report = bench(
        [ends.near, ends.far],
        *(word for kind in kinds for word in (f"--{kind}-publishers", "1")),
        *("--subscribers", "3", "--rooms", "2", "--layers", "3", "--duration", "4s"),
        *("--max-loss", "100%", "--threads", "2"),
    )
    figures = report["figures"]
    assert (status, figures["joined"], figures["clients"]) == (0, 12, 12), figures
    for kind in kinds:
        one = figures["media"][kind]
        assert (one["subscriptions"], one["unheard"]) == (6, 0), (kind, one)
        assert one["received"] > 0, figures
    audio = figures["media"]["audio"]
    assert audio["sent"] == 2 * 200
    assert audio["received"] + audio["lost"] == 3 * audio["sent"], "each packet once for each"
    video = figures["media"]["video"]
    assert video["received"] + video["lost"] < 3 * video["sent"], "one layer for each"
    assert report["server"]["us_per_packet"] > 0, "the node of the second region was found"


def test_a_wrong_key_is_told_in_a_sentence(ends: Ends) -> None:
    wrong = Edge("x", ends.near.url, ends.near.key, "a-secret-of-thirty-two-characters!")
    done = subprocess.run(
        command([wrong], "--audio-publishers", "1", "--subscribers", "1"),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 1
    assert "the first client was refused with status 401" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_leaves_what_was_measured(ends: Ends) -> None:
    words = ("--audio-publishers", "1", "--subscribers", "2", "--duration", "1h")
    with subprocess.Popen(
        command([ends.near], *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        for line in process.stderr:
            if line.startswith("measuring") and " 0 packets/s" not in line:
                process.send_signal(signal.SIGINT)
                break
        out, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 130
    figures = json.loads(out)["figures"]
    assert figures["interrupted"]
    assert 0 < figures["seconds"] < 3600
    assert figures["media"]["audio"]["received"] > 0

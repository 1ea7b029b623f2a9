"""What a run comes to: failures, doubts, what its server spent, and what is said meanwhile."""

from __future__ import annotations

import io
from typing import Any

import msgspec
from rich.console import Console

from fairlead.lab.load import report
from fairlead.lab.load.lines import Failed, Figures, Medium, Progress, Quiet, Spread, decode
from fairlead.lab.load.process import Cpu
from fairlead.lab.load.shapes import Shape
from fairlead.lab.load.spent import Reading, spent

SPREAD = Spread(p50=1.0, p95=2.0, p99=3.0, max=4.0)
AUDIO = Medium(
    sent=100,
    received=990,
    lost=10,
    late=3,
    duplicates=0,
    subscriptions=10,
    unheard=0,
    delay_ms=SPREAD,
)


def figures(**change: Any) -> Figures:
    whole = Figures(
        interrupted=False,
        seconds=10.0,
        clients=11,
        joined=11,
        failed={},
        dropped={},
        join_ms=SPREAD,
        signal_ms=SPREAD,
        joins_per_s=50.0,
        media={"audio": AUDIO},
        behind_ms=SPREAD,
        datagram_bytes=140.0,
        reoffers=0,
        keyframes_asked=0,
    )
    return msgspec.structs.replace(whole, **change)


def test_a_run_within_its_loss_has_no_complaint() -> None:
    assert report.complaints(figures(), 0.01) == []


def test_loss_silence_and_clients_that_failed_are_complaints() -> None:
    assert report.complaints(figures(), 0.005) == ["1.00% of audio was lost, 0.50% is allowed"]
    silent = msgspec.structs.replace(AUDIO, unheard=2)
    found = report.complaints(figures(media={"audio": silent}), 0.5)
    assert found == ["2 of 10 audio subscriptions heard nothing"]
    reasons = {"was refused with status 401: no": 3, "was not in after 30 s: why": 1}
    found = report.complaints(figures(joined=7, failed=reasons), 0.5)
    assert found == [
        "4 of 11 clients could not join, 3 because one was refused with status 401: no"
    ]
    found = report.complaints(figures(dropped={"lost its signal connection: closed": 1}), 0.5)
    assert found == ["1 of 11 clients were lost, 1 because one lost its signal connection: closed"]


def test_a_machine_that_could_not_keep_up_is_said() -> None:
    assert report.doubts(figures()) == []
    late = msgspec.structs.replace(SPREAD, p99=80.0)
    [doubt] = report.doubts(figures(behind_ms=late))
    assert "80 ms late" in doubt


def test_what_a_server_spent_is_for_each_packet_participant_and_subscription() -> None:
    def reading(at: float, cpu_ms: int, memory_kib: int) -> Reading:
        return Reading(at=at, cpu=Cpu(cpu_ms * 500_000, cpu_ms * 500_000), memory_kib=memory_kib)

    readings = {
        "begin": reading(0, 0, 100_000),
        "quiet": reading(1, 100, 110_000),
        "speaking": reading(3, 200, 110_000),
        "measuring": reading(4, 300, 120_000),
        "measured": reading(14, 1_290, 122_528),
    }
    found = spent(readings, figures())
    assert found is not None
    assert round(found.us_per_packet) == 1_000
    assert round(found.packets_per_core_second) == 1_000
    assert round(found.cores, 3) == 0.099
    assert found.quiet_cores == 0.05
    assert found.mib_per_participant == 2.0
    assert found.kib_per_subscription == 2_252.8
    del readings["measuring"]
    assert spent(readings, figures()) is None, "it ended before it was measured"


def test_lines_are_told_apart() -> None:
    assert decode('{"phase": "quiet", "clients": 3}') == Quiet(3)
    assert decode('{"phase": "failed", "reason": "no", "status": 2}') == Failed("no", 2)
    line = decode(
        '{"phase":"progress","stage":"measuring","clients":4,"joined":3,"failed":1,"dropped":0,'
        '"subscriptions":2,"heard":1,"received_per_s":50.0,"lost":1,"late":0}'
    )
    assert isinstance(line, Progress)
    assert report.progress(line) == (
        "measuring: 3 of 4 joined, 1 failed; 1 of 2 subscriptions hear; "
        "50 packets/s, 1 lost, 0 late"
    )


def test_reasons_of_strangers_are_printed_as_they_are() -> None:
    text = io.StringIO()
    one = report.Report(
        name="own shape",
        shape=Shape(audio_publishers=1, subscribers=10),
        urls=["ws://x"],
        figures=figures(failed={"was refused with status 500: [bold]oops": 1}, interrupted=True),
        server=None,
        machine={},
    )
    report.show(one, Console(file=text, width=160))
    assert "1 failed to join: one was refused with status 500: [bold]oops" in text.getvalue()
    assert "interrupted" in text.getvalue()

"""What the SDK says of a track that comes in, now and then."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
from livekit import rtc
from livekit.rtc._proto.stats_pb2 import InboundRtpStreamStats, ReceivedRtpStreamStats

SAMPLE_S = 0.5


async def statistics(
    track: rtc.RemoteTrack,
) -> AsyncIterator[tuple[ReceivedRtpStreamStats, InboundRtpStreamStats]]:
    """What was received of the track and what became of it, each `SAMPLE_S` without end."""
    while True:
        for report in await track.get_stats():
            if report.HasField("inbound_rtp"):
                yield report.inbound_rtp.received, report.inbound_rtp.inbound
        await anyio.sleep(SAMPLE_S)

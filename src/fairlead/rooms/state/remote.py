"""A participant that another node serves, as its record tells."""

from __future__ import annotations

from typing import cast

from livekit.protocol.models import ConnectionQuality, ParticipantInfo
from livekit.protocol.rtc import SubscriptionPermission

from fairlead.types import ParticipantRecord


class RemoteParticipant:
    """One session elsewhere. It is shown to this node's people unless a newer session of its
    identity is known."""

    def __init__(self, record: ParticipantRecord) -> None:
        self.shown = False
        self.update(record)

    def update(self, record: ParticipantRecord) -> None:
        """Take a newer record. Raises `google.protobuf.message.DecodeError`."""
        self.info = ParticipantInfo.FromString(record.info)
        self.permission = (
            SubscriptionPermission.FromString(record.permissions) if record.permissions else None
        )
        self.record = record

    @property
    def sid(self) -> str:
        return self.record.sid

    @property
    def identity(self) -> str:
        return self.record.identity

    @property
    def node(self) -> int:
        return self.record.node

    @property
    def order(self) -> tuple[int, int]:
        return self.record.session

    @property
    def hidden(self) -> bool:
        return self.info.permission.hidden

    @property
    def quality(self) -> ConnectionQuality:
        if self.record.quality not in ConnectionQuality.values():
            return ConnectionQuality.POOR
        return cast("ConnectionQuality", self.record.quality)

    @property
    def left(self) -> bool:
        return self.record.left

    def parting(self, reason: int) -> ParticipantInfo:
        """The last thing that is told of it."""
        info = ParticipantInfo()
        info.CopyFrom(self.info)
        if not self.left:
            info.state = ParticipantInfo.DISCONNECTED
            info.disconnect_reason = reason  # type: ignore[assignment]
            info.version += 1
        del info.tracks[:]
        del info.data_tracks[:]
        return info

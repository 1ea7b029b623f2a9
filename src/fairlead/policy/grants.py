"""What a token allows its bearer: LiveKit's claims and video grants.

It reads claims only; `fairlead.policy.tokens` checks and makes the signature.
"""

from __future__ import annotations

import msgspec

from fairlead.policy import limits

Source = str
"""``camera``, ``microphone``, ``screen_share`` or ``screen_share_audio``."""

KINDS = ("standard", "ingress", "egress", "sip", "agent", "connector", "bridge")


class Denied(Exception):
    """A request that its token does not allow. ``status`` is the HTTP status that says so."""

    def __init__(self, message: str, status: int = 401) -> None:
        super().__init__(message)
        self.status = status


class VideoGrant(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The ``video`` claim. None in `can_publish`, `can_subscribe` and `can_publish_data` means
    that the token is silent; `Grants` gives what then holds."""

    room_create: bool = False
    room_list: bool = False
    room_record: bool = False
    room_admin: bool = False
    room_join: bool = False
    room: str = ""
    can_publish: bool | None = None
    can_subscribe: bool | None = None
    can_publish_data: bool | None = None
    can_publish_sources: list[Source] = msgspec.field(default_factory=list)
    can_update_own_metadata: bool | None = None
    ingress_admin: bool = False
    hidden: bool = False
    recorder: bool = False
    agent: bool = False
    can_subscribe_metrics: bool | None = None
    can_manage_agent_session: bool | None = None
    destination_room: str = ""


class SipGrant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The ``sip`` claim."""

    admin: bool = False
    call: bool = False


class Grants(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a verified token says."""

    api_key: str
    """Whose secret signed it, and signs its refreshed copies."""
    identity: str = ""
    name: str = ""
    kind: str = "standard"
    kind_details: list[str] = msgspec.field(default_factory=list)
    metadata: str = ""
    attributes: dict[str, str] = msgspec.field(default_factory=dict)
    video: VideoGrant | None = None
    sip: SipGrant = SipGrant()
    room_config: str = ""
    """The ``roomConfig`` claim (a RoomConfiguration) as JSON text; empty without one."""
    room_preset: str = ""
    not_before: int = 0
    """Unix seconds."""
    expires_at: int = 0
    """Unix seconds."""

    @property
    def can_publish(self) -> bool:
        video = self._video
        return bool(video.can_publish_sources) or video.can_publish is not False

    @property
    def can_subscribe(self) -> bool:
        return self._video.can_subscribe is not False

    @property
    def can_publish_data(self) -> bool:
        allowed = self._video.can_publish_data
        return self.can_publish if allowed is None else allowed

    @property
    def can_update_own_metadata(self) -> bool:
        return self._video.can_update_own_metadata is True

    @property
    def hidden(self) -> bool:
        return self._video.hidden

    @property
    def is_agent(self) -> bool:
        return self._video.agent or self.kind == "agent"

    @property
    def dependent(self) -> bool:
        """Agents, egress and recorders live on others' account: they neither count nor keep a
        room open."""
        return self.kind in ("agent", "egress") or self._video.agent or self._video.recorder

    def can_publish_source(self, source: Source) -> bool:
        """Whether a track of this source (``unknown`` included) may be published."""
        sources = self._video.can_publish_sources
        return source in sources if sources else self.can_publish

    def require_join(self) -> str:
        """The room that the token joins. Raises `Denied`: 401 without the right, 400 for a
        name that can't be."""
        if self.video is None or not self.video.room_join:
            raise Denied("the token has no roomJoin grant: ask for one with room and roomJoin")
        if not self.identity:
            raise Denied("the token has no identity: set its sub claim", 400)
        if len(self.identity) > limits.IDENTITY_LENGTH:
            raise Denied(
                f"the identity has {len(self.identity)} characters, "
                f"{limits.IDENTITY_LENGTH} are allowed",
                400,
            )
        room = self.video.room
        if not room:
            raise Denied("the token names no room: set room in its video grant", 400)
        if len(room) > limits.ROOM_NAME_LENGTH:
            raise Denied(
                f"the room name has {len(room)} characters, {limits.ROOM_NAME_LENGTH} are allowed",
                400,
            )
        if len(self.name) > limits.NAME_LENGTH:
            raise Denied(
                f"the name has {len(self.name)} characters, {limits.NAME_LENGTH} are allowed", 400
            )
        if len(self.metadata.encode()) > limits.METADATA_BYTES:
            raise Denied(f"the metadata is over {limits.METADATA_BYTES} bytes", 400)
        if limits.attributes_size(self.attributes) > limits.ATTRIBUTES_BYTES:
            raise Denied(f"the attributes are over {limits.ATTRIBUTES_BYTES} bytes", 400)
        return room

    def require_admin(self, room: str) -> None:
        """Raises `Denied` (403) unless the token administers ``room``."""
        if self.video is None or not self.video.room_admin or self.video.room != room:
            raise Denied(f"the token has no roomAdmin grant for room {room!r}", 403)

    def require_destination(self, room: str) -> None:
        """Raises `Denied` (403) unless the token lets participants go to ``room``."""
        if self.video is None or self.video.destination_room != room:
            raise Denied(f"the token has no destinationRoom grant for room {room!r}", 403)

    def require_create(self) -> None:
        """Raises `Denied` (403) unless the token may create and delete rooms."""
        if self.video is None or not self.video.room_create:
            raise Denied("the token has no roomCreate grant", 403)

    def require_list(self) -> None:
        """Raises `Denied` (403) unless the token may list rooms."""
        if self.video is None or not self.video.room_list:
            raise Denied("the token has no roomList grant", 403)

    def replace(self, **changes: object) -> Grants:
        """A copy with other values."""
        return msgspec.structs.replace(self, **changes)

    @property
    def _video(self) -> VideoGrant:
        return self.video if self.video is not None else _NONE


_NONE = VideoGrant(can_publish=False, can_subscribe=False, can_publish_data=False)

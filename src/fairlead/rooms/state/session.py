"""One client of this edge: what it may do, publishes, hears, and how its connections stand."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from livekit.protocol.models import (
    ConnectionQuality,
    DisconnectReason,
    ParticipantInfo,
    ParticipantPermission,
    TrackSource,
)
from livekit.protocol.rtc import SessionDescription, SubscriptionPermission, TrackPermission

from fairlead.policy.devices import DeviceClass
from fairlead.policy.grants import Grants
from fairlead.policy.overload import BEST, Decoding
from fairlead.protocol.join import Join
from fairlead.protocol.node import SetQuality, TransportName
from fairlead.protocol.sdp import MediaSection
from fairlead.rooms.state.absence import Absence
from fairlead.rooms.state.datatrack import DataTracks
from fairlead.rooms.state.grading import Grade
from fairlead.rooms.state.own_fields import OwnFields
from fairlead.rooms.state.publications import Publications
from fairlead.rooms.state.transceivers import ClientLines, ServerLines
from fairlead.types import ParticipantRecord

KINDS = {
    "standard": ParticipantInfo.STANDARD,
    "ingress": ParticipantInfo.INGRESS,
    "egress": ParticipantInfo.EGRESS,
    "sip": ParticipantInfo.SIP,
    "agent": ParticipantInfo.AGENT,
    "connector": ParticipantInfo.CONNECTOR,
    "bridge": ParticipantInfo.BRIDGE,
}


class PictureSetting(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for of one picture."""

    quality: int | None = BEST
    """None is nothing."""
    priority: int = 0
    """The client's own number, 1 first; 0 leaves it to the server."""
    fps: int = 0
    """Pictures a second that are enough for it; 0 is all that come."""


class ClientOffers:
    """The client's offers, one at a time; of those that come meanwhile, the newest waits."""

    def __init__(self) -> None:
        self._current: tuple[int, list[MediaSection]] | None = None
        self._next: tuple[SessionDescription, list[MediaSection]] | None = None
        self.answered = False
        """One was answered before."""

    @property
    def idle(self) -> bool:
        """No offer is with the node."""
        return self._current is None

    def take(self, offer: SessionDescription, sections: list[MediaSection]) -> bool:
        """Whether the offer goes to the node now."""
        if self._current is not None:
            self._next = (offer, sections)
            return False
        self._current = (offer.id, sections)
        return True

    def finish(self, offer_id: int) -> list[MediaSection] | None:
        """The m-lines of the offer that was answered, None if it is not the one waited for."""
        if self._current is None or self._current[0] != offer_id:
            return None
        _, sections = self._current
        self._current = None
        self.answered = True
        return sections

    def waits_for(self, offer_id: int) -> bool:
        """Whether this offer is with the node."""
        return self._current is not None and self._current[0] == offer_id

    def following(self) -> SessionDescription | None:
        """The offer that waited, now taken."""
        if self._next is None:
            return None
        offer, sections = self._next
        self._next = None
        self._current = (offer.id, sections)
        return offer


class Session:
    """One join, from its first message to its departure."""

    def __init__(
        self, number: int, sid: str, now: float, node: int, region: str, grants: Grants, join: Join
    ) -> None:
        self.number = number
        self.sid = sid
        self.grants = grants
        self.join = join
        self.room = grants.require_join()
        self.identity = grants.identity
        self.order = (int(now * 1_000_000), node)
        self.protocol = join.client.protocol
        self.single = join.single
        self.could_subscribe = grants.can_subscribe
        """As it joined: the client built its connections by it."""
        self.active = False
        self.fresh = True
        """It joined in this very step."""
        self.joined_at = now
        self.heard_at = now
        self.pings = False
        """It pinged once: it can be expected to."""
        self.connected = True
        """Its websocket is open."""
        self.parting = DisconnectReason.SIGNAL_CLOSE
        """Why it leaves when its grace ends."""
        self.absence = Absence()
        self.own_fields = OwnFields()
        self.publications = Publications()
        self.data = DataTracks()
        self.offers = ClientOffers()
        self.client_lines = ClientLines()
        self.server_lines = ServerLines()
        self.heard: dict[str, str] = {}
        """Tracks that the node sends it, each with the name of the rendition."""
        self.takes: dict[str, list[str]] = {}
        """Of each track that has an m-line the codecs that the client takes on it; none is any."""
        self.unfit: dict[str, float] = {}
        """Tracks that come in no codec which it takes, and until when a backup is waited for."""
        self.device = DeviceClass()
        """What its device can bear."""
        self.decoding = Decoding()
        """What it turned out to decode in time."""
        self.wanted: dict[str, None] = {}
        """Tracks that it should hear, in the order in which it came to want them."""
        self.wishes: dict[str, bool] = {}
        """Tracks that it asked for, or asked to be spared."""
        self.picture_settings: dict[str, PictureSetting] = {}
        """How it shows the pictures that it hears, where it said so."""
        self.pictures_told: dict[str, SetQuality] = {}
        """What the node was last told of each."""
        self.missing: dict[str, float] = {}
        """Tracks that it asked for and that are not there, and until when they are waited for."""
        self.over_limit = False
        """A track waits until it hears fewer."""
        self.refused: set[str] = set()
        """Tracks that it was told its publisher does not allow it."""
        self.permission: SubscriptionPermission | None = None
        """Who may hear it; None is everyone."""
        self.levels: dict[str, tuple[float, bool]] = {}
        """Speakers as it was last told: participant to (level, active)."""
        self.grade = Grade()
        self.qualities: dict[str, ConnectionQuality] = {}
        """How well participants are connected, as it was last told."""
        self.info = _info(self, now, region)
        self.told = self.info
        """Its info as it was last told."""

    @property
    def lines(self) -> ClientLines | ServerLines:
        """Where subscriptions are carried."""
        return self.client_lines if self.single else self.server_lines

    @property
    def receiving(self) -> TransportName:
        """The transport that subscriptions use."""
        return "publisher" if self.single else "subscriber"

    @property
    def primary(self) -> TransportName:
        """The transport whose connection makes the session active."""
        return "subscriber" if self.subscriber_primary else "publisher"

    @property
    def subscriber_primary(self) -> bool:
        return self.protocol > 2 and self.could_subscribe and not self.single

    @property
    def hidden(self) -> bool:
        return self.grants.hidden

    @property
    def quality(self) -> ConnectionQuality:
        return self.grade.quality

    def line_of(self, track: str) -> str | None:
        """The m-line that carries a track to it."""
        carried = self.lines.carried().items()
        return next((mid for mid, sid in carried if sid == track), None)

    def regrant(self, grants: Grants) -> None:
        """Change what the session may do and is called."""
        self.grants = grants
        self.info.name = grants.name
        self.info.metadata = grants.metadata
        self.info.attributes.clear()
        self.info.attributes.update(grants.attributes)
        self.info.permission.CopyFrom(permission_of(grants))

    def move(self, sid: str, now: float, grants: Grants) -> None:
        """It is in another room from now on, where it is a new participant; nothing of what it
        heard is left."""
        self.sid = sid
        self.order = (int(now * 1_000_000), self.order[1])
        self.room = grants.require_join()
        self.grants = grants
        self.joined_at = now
        self.fresh = True
        self.wishes.clear()
        self.missing.clear()
        self.refused.clear()
        self.levels.clear()
        self.qualities.clear()
        self.data.move()
        self.info.sid = sid
        self.info.version = 0
        self.info.joined_at = int(now)
        self.info.joined_at_ms = int(now * 1000)

    def snapshot(self) -> ParticipantInfo:
        """Its info with the next version, to be told and recorded."""
        live = self.publications.live()
        self.info.version += 1
        del self.info.tracks[:]
        self.info.tracks.extend(track.info for track in live)
        del self.info.data_tracks[:]
        self.info.data_tracks.extend(self.data.infos())
        self.info.is_publisher = bool(live or self.data.published)
        copy = ParticipantInfo()
        copy.CopyFrom(self.info)
        return copy

    def record(
        self,
        info: ParticipantInfo,
        heard: Sequence[str] = (),
        backups: Sequence[str] = (),
        left: bool = False,
    ) -> ParticipantRecord:
        """Its record with the info given. ``heard`` and ``backups``: what it says for its node."""
        return ParticipantRecord(
            node=self.order[1],
            room=self.room,
            sid=self.sid,
            identity=self.identity,
            session=self.order,
            info=info.SerializeToString(),
            tracks=[track.record for track in self.publications.live()],
            permissions=_encoded(self.permission) if self.permission is not None else b"",
            heard=list(heard),
            backups=list(backups),
            quality=self.quality,
            left=left,
            data_tracks=self.data.records(),
            data_heard=self.data.recorded,
        )


def permission_of(grants: Grants) -> ParticipantPermission:
    """The grants as clients see them."""
    video = grants.video
    sources = video.can_publish_sources if video is not None else []
    return ParticipantPermission(
        can_subscribe=grants.can_subscribe,
        can_publish=grants.can_publish,
        can_publish_data=grants.can_publish_data,
        can_publish_sources=[
            source.upper()
            for source in sources
            if source.upper() in TrackSource.keys()  # noqa: SIM118 (an enum wrapper, no dict)
        ],
        hidden=grants.hidden,
        recorder=video is not None and video.recorder,
        can_update_metadata=grants.can_update_own_metadata,
        agent=video is not None and video.agent,
        can_subscribe_metrics=video is not None and video.can_subscribe_metrics is True,
        can_manage_agent_session=video is not None and video.can_manage_agent_session is True,
    )


def _encoded(permission: SubscriptionPermission) -> bytes:
    """Never empty: no bytes mean no permission, which allows everyone. One that names nobody
    gets an entry for nobody."""
    nobody = SubscriptionPermission(track_permissions=[TrackPermission()])
    return permission.SerializeToString() or nobody.SerializeToString()


def _info(session: Session, now: float, region: str) -> ParticipantInfo:
    grants, client = session.grants, session.join.client
    details = ParticipantInfo.KindDetail
    return ParticipantInfo(
        sid=session.sid,
        identity=grants.identity,
        state=ParticipantInfo.JOINED,
        metadata=grants.metadata,
        joined_at=int(now),
        joined_at_ms=int(now * 1000),
        name=grants.name,
        permission=permission_of(grants),
        region=region,
        kind=KINDS[grants.kind],
        attributes=grants.attributes,
        kind_details=[
            name.upper()
            for name in grants.kind_details
            if name.upper() in details.keys()  # noqa: SIM118 (an enum wrapper, no dict)
        ],
        client_protocol=client.client_protocol,
        capabilities=client.capabilities,
    )

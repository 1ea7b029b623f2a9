"""One track that a session publishes: asked for, bound to m-lines, live, and gone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from livekit.protocol.models import (
    AudioTrackFeature,
    BackupCodecPolicy,
    Encryption,
    SimulcastCodecInfo,
    TrackInfo,
    TrackSource,
    TrackType,
    VideoLayer,
    VideoQuality,
)
from livekit.protocol.rtc import AddTrackRequest

from fairlead.policy.overload import BEST
from fairlead.protocol.node import AddTrack
from fairlead.protocol.sdp import MediaSection, SectionEdit
from fairlead.rooms.state.rendition import NONE, Rendition, backup_id, recorded, sources_of
from fairlead.types import BackupRecord, TrackRecord

SOURCE_LETTERS = {
    TrackSource.CAMERA: "C",
    TrackSource.MICROPHONE: "M",
    TrackSource.SCREEN_SHARE: "S",
    TrackSource.SCREEN_SHARE_AUDIO: "s",
}
MAX_CODECS = 2
"""Of one track: what it is sent in, and its backup."""
SDK_CODEC = "vp8"
"""What SDKs ask for when the app does not choose."""


class Publication:
    """One track of a session."""

    def __init__(
        self, sid: str, request: AddTrackRequest, may_back_up: Collection[str] = ()
    ) -> None:
        """``may_back_up``: the codecs (``vp8``) that its publisher may send besides the first."""
        self.sid = sid
        self.cid = request.cid
        self.info = _info(sid, request, may_back_up)
        self.announced = [codec_name(codec.mime_type) for codec in self.info.codecs]
        """``vp8``, ...: as its publisher calls its codecs."""
        first = self.announced[0] if self.announced else ""
        self.primary = Rendition(sid, first, self.kind, request.cid, told=BEST)
        self.primary.cids |= {codec.cid for codec in self.info.codecs[:1] if codec.cid}
        self.backup: Rendition | None = None
        if self.kind == "video" and len(self.info.codecs) == MAX_CODECS:
            second = self.info.codecs[1]
            self.backup = self._held_out(second.cid)
        self.backup_asked = False
        """Somebody takes its backup and not what it is sent in."""
        self.regressed = False
        """Everyone who takes its backup gets that."""
        self.heard = False
        """Its publisher was told of the first subscriber."""

    @classmethod
    def moved(cls, info: TrackInfo, cid: str, record: TrackRecord | None = None) -> Publication:
        """A track that another edge took, live already; ``record`` is that edge's."""
        track = cls(info.sid, AddTrackRequest(cid=cid, type=info.type))
        track.info.CopyFrom(info)
        track.announced = [codec_name(codec.mime_type) for codec in info.codecs]
        primary = track.primary
        primary.codec = track.announced[0] if track.announced else ""
        primary.kind = track.kind
        primary.cids |= {codec.cid for codec in info.codecs[:1] if codec.cid}
        primary.place = info.mid
        primary.live = track.heard = True
        if track.kind == "video" and len(info.codecs) == MAX_CODECS:
            second = info.codecs[1]
            track.backup = track._held_out(second.cid if second.mid else "")
            if second.mid:
                track.backup.place = second.mid
                track.backup.live = True
                track.backup.needed = track.backup.told_needed = BEST
        if record is not None:
            primary.sources = sources_of(record.layers)
            if track.backup is not None and record.backup is not None:
                track.backup.sources = sources_of(record.backup.layers)
        return track

    @property
    def kind(self) -> str:
        return kind_name(self.info.type)

    @property
    def live(self) -> bool:
        return self.primary.live

    @property
    def red(self) -> bool:
        """Whether sound may be sent redundantly: what is encrypted end to end is opened only as
        its publisher packed it."""
        return not self.info.disable_red and self.info.encryption == Encryption.NONE

    @property
    def regresses(self) -> bool:
        """Whether its backup, once it is needed, is for everyone."""
        return self.info.backup_codec_policy != BackupCodecPolicy.SIMULCAST

    @property
    def renditions(self) -> list[Rendition]:
        return [self.primary, *([self.backup] if self.backup is not None else [])]

    @property
    def bound(self) -> list[Rendition]:
        """Those that an offer carries."""
        return [rendition for rendition in self.renditions if rendition.mid is not None]

    @property
    def backup_record(self) -> BackupRecord | None:
        """What subscribers' edges need to know of its backup."""
        if self.backup is None:
            return None
        sent = recorded(self.backup) if self.backup.live else []
        name = codec_name(self.info.codecs[1].mime_type)
        return BackupRecord(name=self.backup.name, codec=name, layers=sent, everyone=self.regressed)

    @property
    def record(self) -> TrackRecord:
        """What other nodes need to subscribe to it."""
        return TrackRecord(
            sid=self.sid,
            kind=self.kind,
            layers=recorded(self.primary),
            red=self.red,
            backup=self.backup_record,
        )

    def command(self, rendition: Rendition, room: bytes, publisher: int, tag: int) -> AddTrack:
        """What the node is told of it, once it is bound; again when the tag changes."""
        rendition.tag = tag
        return AddTrack(
            track=rendition.name,
            room=room,
            kind="audio" if self.kind == "audio" else "video",
            layers=rendition.layers,
            publisher=publisher,
            tag=tag,
            red=self.red,
        )

    def bind(
        self, rendition: Rendition, section: MediaSection, new_stream: Callable[[], int]
    ) -> None:
        """One of its codecs takes an m-line."""
        rendition.bind(section, new_stream)
        if rendition is self.primary:
            self.info.mid = section.mid
            if section.rids:
                self.info.simulcast = True

    def begin_backup(self, request: AddTrackRequest) -> None:
        """Its publisher is about to send its backup."""
        assert self.backup is not None, f"{self.sid} was announced without a backup"
        self.backup.cid = request.cid
        self.backup.cids = {request.cid}
        told = self.info.codecs[1]
        told.cid = request.cid
        for codec in request.simulcast_codecs:
            if codec_name(codec.codec) == self.announced[1] and codec.layers:
                del told.layers[:]
                told.layers.extend(codec.layers)

    def end_backup(self) -> None:
        """Its backup is sent no more; its publisher may begin it again."""
        self.backup = self._held_out("")
        self.regressed = False
        told = self.info.codecs[1]
        told.cid = told.mid = ""

    def go_live(self, rendition: Rendition, mime: str) -> None:
        """The first packet came: what it carries is known."""
        rendition.live = True
        if rendition is self.backup:
            codec = self.info.codecs[1]
        else:
            self.info.mime_type = mime
            if not self.info.codecs:
                layers = list(self.info.layers)
                self.info.codecs.append(SimulcastCodecInfo(cid=self.cid, layers=layers))
            codec = self.info.codecs[self._sent_first(mime)]
        codec.mime_type = mime
        codec.mid = rendition.mid or ""

    def answer_edit(
        self, rendition: Rendition, section: MediaSection, first: Sequence[str] = ()
    ) -> SectionEdit:
        """How the answer to its m-line should read. ``first``: the codecs that its device is best
        at, which go before what SDKs ask for when an app asks for none."""
        if self.kind == "video":
            wanted = rendition.codec
            # Who chose a backup chose both.
            if wanted in ("", SDK_CODEC) and self.backup is None:
                wanted = next((codec for codec in first if codec in section.codecs), wanted)
            return SectionEdit(prefer=wanted or None)
        features = self.info.audio_features
        return SectionEdit(
            prefer="opus" if self.info.disable_red else "red",
            dtx=AudioTrackFeature.TF_NO_DTX not in features,
            stereo=AudioTrackFeature.TF_STEREO in features,
        )

    def _held_out(self, cid: str) -> Rendition:
        codec = self.announced[1]
        return Rendition(backup_id(self.sid, codec), codec, "video", cid, told=NONE)

    def _sent_first(self, mime: str) -> int:
        """Of several codecs of sound, the place of the one that is sent."""
        name = codec_name(mime)
        return self.announced.index(name) if self.kind == "audio" and name in self.announced else 0


def codec_name(mime: str) -> str:
    """``video/VP8`` or ``VP8`` to ``vp8``."""
    return mime.rpartition("/")[2].lower()


def kind_name(track_type: int) -> str:
    """``audio`` or ``video``."""
    return "audio" if track_type == TrackType.AUDIO else "video"


def track_prefix(request: AddTrackRequest) -> str:
    """The start of a track's sid, which tells people its kind and source."""
    kind = "A" if request.type == TrackType.AUDIO else "V"
    return f"TR_{kind}{SOURCE_LETTERS.get(request.source, '')}"


def _info(sid: str, request: AddTrackRequest, may_back_up: Collection[str]) -> TrackInfo:
    kind = kind_name(request.type)
    features = list(request.audio_features)
    if request.stereo and AudioTrackFeature.TF_STEREO not in features:
        features.append(AudioTrackFeature.TF_STEREO)
    if request.disable_dtx and AudioTrackFeature.TF_NO_DTX not in features:
        features.append(AudioTrackFeature.TF_NO_DTX)
    layers = list(request.layers)
    if not layers and kind == "video":
        layers = [VideoLayer(quality=VideoQuality.HIGH, width=request.width, height=request.height)]
    return TrackInfo(
        sid=sid,
        type=request.type,
        name=request.name,
        muted=request.muted,
        width=request.width,
        height=request.height,
        disable_dtx=AudioTrackFeature.TF_NO_DTX in features,
        source=request.source,
        layers=layers,
        codecs=_codecs(kind, request, layers, may_back_up),
        stereo=AudioTrackFeature.TF_STEREO in features,
        disable_red=request.disable_red,
        encryption=request.encryption,
        stream=request.stream,
        audio_features=features,
        backup_codec_policy=request.backup_codec_policy,
        packet_trailer_features=request.packet_trailer_features,
    )


def _codecs(
    kind: str, request: AddTrackRequest, layers: list[VideoLayer], may_back_up: Collection[str]
) -> list[SimulcastCodecInfo]:
    """Each once; of a picture the first, and the next one that its publisher may send besides."""
    codecs: dict[str, SimulcastCodecInfo] = {}
    for codec in request.simulcast_codecs:
        name = codec_name(codec.codec)
        backs_up = kind == "video" and bool(codecs)
        if name in codecs or (backs_up and (name not in may_back_up or len(codecs) >= MAX_CODECS)):
            continue
        codecs[name] = SimulcastCodecInfo(
            mime_type=_mime(kind, codec.codec),
            cid=codec.cid,
            layers=codec.layers or layers,
            video_layer_mode=codec.video_layer_mode,
        )
    return list(codecs.values())


def _mime(kind: str, codec: str) -> str:
    """``vp8`` or ``video/vp8`` to ``video/VP8``."""
    name = codec.rpartition("/")[2]
    if not name:
        return ""
    return f"{kind}/{name.upper() if kind == 'video' else name.lower()}"

"""What a client says on its websocket, message by message."""

from __future__ import annotations

from livekit.protocol.models import DisconnectReason, ParticipantInfo
from livekit.protocol.rtc import (
    Pong,
    RequestResponse,
    SignalRequest,
    SyncState,
    UpdateLocalAudioTrack,
    UpdateLocalVideoTrack,
    UpdateParticipantMetadata,
    UpdateSubscription,
    UpdateTrackSettings,
)

from fairlead.rooms import announcing, operating
from fairlead.rooms.context import Context
from fairlead.rooms.presence import leaving, negotiating, resuming, simulating
from fairlead.rooms.state.session import Session
from fairlead.rooms.tracks import (
    data_publishing,
    data_subscribing,
    publishing,
    subscribing,
    watching,
)

OK_PROTOCOL = 15
"""From here on clients are told when a request went well."""


def take(ctx: Context, session: Session, request: SignalRequest) -> None:
    """Act on one message. What is unknown, or not served yet, is let go."""
    match request.WhichOneof("message"):
        case "offer":
            negotiating.client_offer(ctx, session, request.offer)
        case "answer":
            negotiating.client_answer(ctx, session, request.answer)
        case "trickle":
            negotiating.trickle(ctx, session, request.trickle)
        case "add_track":
            publishing.add_track(ctx, session, request.add_track)
        case "mute":
            publishing.mute(ctx, session, request.mute.sid, request.mute.muted)
        case "subscription":
            _subscribe(ctx, session, request.subscription)
        case "subscription_permission":
            subscribing.set_permission(ctx, session, request.subscription_permission)
        case "track_setting":
            watching.ask(ctx, session, request.track_setting)
        case "publish_data_track_request":
            data_publishing.publish(ctx, session, request.publish_data_track_request)
        case "unpublish_data_track_request":
            data_publishing.unpublish(ctx, session, request.unpublish_data_track_request)
        case "update_data_subscription":
            data_subscribing.update(ctx, session, request.update_data_subscription)
        case "update_metadata":
            _update(ctx, session, request.update_metadata)
        case "update_audio_track":
            _audio_features(ctx, session, request.update_audio_track)
        case "update_video_track":
            _video_size(ctx, session, request.update_video_track)
        case "sync_state":
            _sync(ctx, session, request.sync_state)
        case "simulate":
            simulating.simulate(ctx, session, request.simulate)
        case "leave":
            leaving.leave(ctx, session, DisconnectReason.CLIENT_INITIATED, tell=False)
        case "ping":
            session.pings = True
            ctx.out.signal(session.number, pong=int(ctx.now * 1000))
        case "ping_req":
            session.pings = True
            ctx.out.signal(
                session.number,
                pong_resp=Pong(
                    last_ping_timestamp=request.ping_req.timestamp, timestamp=int(ctx.now * 1000)
                ),
            )
        case _:
            pass


def activate(ctx: Context, session: Session) -> None:
    """The connection that the client listens on is up."""
    session.active = True
    session.info.state = ParticipantInfo.ACTIVE
    ctx.timers.drop(("join", session.number))
    room = ctx.room_of(session)
    ctx.changed(room, session)
    ctx.happened("participant_active", room, participant=session.sid)
    announcing.participant(ctx, room, "participant_joined", session.info)


def _sync(ctx: Context, session: Session, state: SyncState) -> None:
    if resuming.sync(ctx, session, state):
        paused = UpdateTrackSettings(track_sids=state.track_sids_disabled, disabled=True)
        watching.ask(ctx, session, paused)


def _subscribe(ctx: Context, session: Session, update: UpdateSubscription) -> None:
    tracks = list(update.track_sids)
    for entry in update.participant_tracks:
        tracks.extend(entry.track_sids)
    subscribing.wish(ctx, session, tracks, update.subscribe)


def _update(ctx: Context, session: Session, update: UpdateParticipantMetadata) -> None:
    reason, message = RequestResponse.OK, ""
    if not session.grants.can_update_own_metadata:
        reason = RequestResponse.NOT_ALLOWED
        message = "the token does not allow own metadata: it lacks canUpdateOwnMetadata"
    else:
        own = {"name": session.grants.name, "metadata": session.grants.metadata}
        asked = {"name": update.name, "metadata": update.metadata}
        meant = session.own_fields.meant(ctx.now, own, asked, more=bool(update.attributes))
        try:
            operating.update_own(ctx, session, **meant, attributes=update.attributes)
            # The update comes before the response: a client whose call returns sends what it
            # knows of itself with its next one, and would undo this.
            ctx.finish(ctx.room_of(session))
        except operating.Refused as error:
            reason, message = RequestResponse.LIMIT_EXCEEDED, str(error)
    if reason == RequestResponse.OK and (not update.request_id or session.protocol < OK_PROTOCOL):
        return
    ctx.out.signal(
        session.number,
        request_response=RequestResponse(
            request_id=update.request_id, reason=reason, message=message, update_metadata=update
        ),
    )


def _audio_features(ctx: Context, session: Session, update: UpdateLocalAudioTrack) -> None:
    publication = session.publications.by_sid.get(update.track_sid)
    if publication is not None and publication.kind == "audio":
        del publication.info.audio_features[:]
        publication.info.audio_features.extend(update.features)
        if publication.live:
            ctx.changed(ctx.room_of(session), session)


def _video_size(ctx: Context, session: Session, update: UpdateLocalVideoTrack) -> None:
    publication = session.publications.by_sid.get(update.track_sid)
    if publication is not None and publication.kind == "video":
        publication.info.width, publication.info.height = update.width, update.height
        if publication.live:
            ctx.changed(ctx.room_of(session), session)

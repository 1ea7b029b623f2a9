/** One participant in the call: joins, publishes, and tells the page what happens. */

import { ConnectionState, type RemoteTrack, Room, RoomEvent, Track } from "livekit-client";
import { type Role, other } from "./role";
import { watch } from "../watchdog/watchdog";
import { whyEnded, whyNotJoined } from "./sentence";
import { getTicket } from "./server";
import { type Kind, type Source, picture, sound } from "./source";

export type Tone = "busy" | "good" | "waiting" | "bad";

export interface Told {
  status: (tone: Tone, sentence: string) => void;
  trouble: (sentence: string) => void;
  ended: (sentence: string) => void;
  /** The other one's picture or sound came (a track) or went (null). */
  remote: (kind: Track.Kind, track: RemoteTrack | null) => void;
  remoteMuted: (kind: Track.Kind, muted: boolean) => void;
  speaking: (identities: ReadonlySet<string>) => void;
  /** The browser wants a click before it plays sound. */
  soundBlocked: (blocked: boolean) => void;
}

export class Session {
  readonly room = new Room({ adaptiveStream: true, dynacast: true });
  private met = false;
  private stopWatching: (() => void) | undefined;
  private readonly sources = new Map<Track.Source, Source>();

  constructor(
    readonly role: Role,
    private readonly roomName: string,
    private readonly identity: string,
    private readonly told: Told,
  ) {
    this.listen();
  }

  /** The identity of the one at the other end, once there. */
  get partner(): string | undefined {
    return this.room.remoteParticipants.keys().next().value;
  }

  async join(): Promise<boolean> {
    const { role, told } = this;
    told.status("busy", `Joining near ${role.place}…`);
    try {
      const ticket = await getTicket({
        room: this.roomName,
        identity: this.identity,
        name: role.name,
        region: role.region,
      });
      await this.room.connect(ticket.server_url, ticket.participant_token);
      this.stopWatching = watch(this.room, ticket.server_url);
    } catch (error) {
      told.ended(whyNotJoined(error, role));
      return false;
    }
    this.tellWhoIsHere();
    told.soundBlocked(!this.room.canPlaybackAudio);
    return true;
  }

  /** Publishes from this source, in place of what was published before. */
  async use(source: Track.Source.Camera | Track.Source.Microphone, kind: Kind): Promise<Kind> {
    const make = source === Track.Source.Camera ? picture : sound;
    const made = await make(kind, this.role);
    if (made.trouble) {
      this.told.trouble(made.trouble);
    }
    const before = this.sources.get(source);
    const published = this.room.localParticipant.getTrackPublication(source);
    try {
      if (published?.track && "replaceTrack" in published.track) {
        await published.track.replaceTrack(made.track, true);
      } else {
        await this.room.localParticipant.publishTrack(made.track, { source, name: source });
      }
    } catch (error) {
      made.stop();
      const what = source === Track.Source.Camera ? "picture" : "sound";
      const why = error instanceof Error ? error.message : String(error);
      this.told.trouble(`Your ${what} cannot be sent: ${why}.`);
      return before?.kind ?? kind;
    }
    before?.stop();
    this.sources.set(source, made);
    return made.kind;
  }

  async setMuted(source: Track.Source, muted: boolean): Promise<void> {
    const publication = this.room.localParticipant.getTrackPublication(source);
    await (muted ? publication?.mute() : publication?.unmute());
  }

  /** The picture that is being sent, for the preview. */
  preview(): MediaStreamTrack | undefined {
    return this.sources.get(Track.Source.Camera)?.track;
  }

  async leave(): Promise<void> {
    await this.room.disconnect();
  }

  private tellWhoIsHere(): void {
    if (this.room.state !== ConnectionState.Connected) {
      this.tellReconnecting();
      return;
    }
    const there = other(this.role);
    if (this.partner !== undefined) {
      this.met = true;
      this.told.status("good", `Connected: ${this.role.place} to ${there.place}.`);
      return;
    }
    const absent = this.met ? "is no longer in the call" : "has not joined yet";
    const name = there.name.toLowerCase();
    this.told.status("waiting", `You are in, near ${this.role.place}. The ${name} ${absent}.`);
  }

  private listen(): void {
    const { room, told } = this;
    room
      .on(RoomEvent.ParticipantConnected, () => this.tellWhoIsHere())
      .on(RoomEvent.ParticipantDisconnected, () => this.tellWhoIsHere())
      .on(RoomEvent.TrackSubscribed, (track, publication) => {
        told.remote(track.kind, track);
        told.remoteMuted(track.kind, publication.isMuted);
      })
      .on(RoomEvent.TrackUnsubscribed, (track) => told.remote(track.kind, null))
      .on(RoomEvent.TrackMuted, (publication, who) => {
        if (!who.isLocal) {
          told.remoteMuted(publication.kind, true);
        }
      })
      .on(RoomEvent.TrackUnmuted, (publication, who) => {
        if (!who.isLocal) {
          told.remoteMuted(publication.kind, false);
        }
      })
      .on(RoomEvent.ActiveSpeakersChanged, (speakers) =>
        told.speaking(new Set(speakers.map((one) => one.identity))),
      )
      .on(RoomEvent.AudioPlaybackStatusChanged, () => told.soundBlocked(!room.canPlaybackAudio))
      .on(RoomEvent.SignalReconnecting, () => this.tellReconnecting())
      .on(RoomEvent.Reconnecting, () => this.tellReconnecting())
      .on(RoomEvent.Reconnected, () => this.tellWhoIsHere())
      .on(RoomEvent.Disconnected, (reason) => {
        this.stopWatching?.();
        this.sources.forEach((source) => source.stop());
        this.sources.clear();
        told.ended(whyEnded(reason));
      });
  }

  private tellReconnecting(): void {
    if (this.room.state === ConnectionState.Disconnected) {
      return;
    }
    this.told.status("bad", `The connection to the ${this.role.place} edge was lost. Trying again…`);
  }
}

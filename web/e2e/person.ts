/** A participant that tests drive from outside: `window.person`, one per page. */

import {
  BackupCodecPolicy,
  type BackupVideoCodec,
  type LocalDataTrack,
  type LocalVideoTrack,
  LogLevel,
  type RemoteDataTrack,
  type RemoteTrack,
  Room,
  RoomEvent,
  Track,
  type TrackPublishOptions,
  type VideoCodec,
  setLogLevel,
} from "livekit-client";
import { type Watched, listen, watch } from "./capture";
import { lack } from "./lacking";
import { draw } from "./picture";

const FRAME_RATE = 15;
const PUSH_MS = 20;
/** Of every tenth frame: more than one packet takes. */
const LARGE_BYTES = 40_000;

interface Chirp {
  start_hz: number;
  end_hz: number;
  sweep_s: number;
  gap_s: number;
  amplitude: number;
}

interface ShowOptions {
  sender: number;
  width: number;
  height: number;
  simulcast: boolean;
  codec: VideoCodec;
  backup: BackupVideoCodec | null;
  regress: boolean;
}

interface Entry {
  name: string;
  identity?: string;
  text?: string;
  topic?: string;
}

class Person {
  private readonly room: Room;
  private readonly log: Entry[] = [];
  private pushed?: { track: LocalDataTrack; timer: number };

  constructor(singlePeerConnection: boolean) {
    this.room = new Room({ singlePeerConnection, adaptiveStream: false, dynacast: false });
    this.listenToRoom();
  }

  /** `relayed`: media goes through TURN alone. */
  async join(url: string, token: string, relayed: boolean): Promise<string> {
    const rtcConfig: RTCConfiguration = relayed ? { iceTransportPolicy: "relay" } : {};
    await this.room.connect(url, token, { maxRetries: 0, websocketTimeout: 15_000, rtcConfig });
    return this.room.localParticipant.sid;
  }

  async leave(): Promise<void> {
    await this.room.disconnect();
  }

  /** Everything that happened so far. */
  events(): Entry[] {
    return this.log;
  }

  /** Publishes a microphone that repeats a chirp. */
  async say(chirp: Chirp): Promise<string> {
    const context = new AudioContext({ sampleRate: 48_000 });
    const sound = context.createBufferSource();
    sound.buffer = period(context, chirp);
    sound.loop = true;
    const output = context.createMediaStreamDestination();
    output.channelCount = 1;
    sound.connect(output);
    sound.start();
    await context.resume();
    const [track] = output.stream.getAudioTracks();
    return this.publish(track, { source: Track.Source.Microphone, dtx: false });
  }

  /** Publishes a camera that draws numbered codes. */
  async show({ sender, width, height, simulcast, codec, backup, regress }: ShowOptions): Promise<string> {
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d", { alpha: false });
    if (!context) {
      throw new Error("this browser draws no canvas");
    }
    let number = 0;
    setInterval(() => {
      draw(context, { number: number & 0xffff, sender });
      number += 1;
    }, 1_000 / FRAME_RATE);
    const [track] = canvas.captureStream(FRAME_RATE).getVideoTracks();
    const source = Track.Source.Camera;
    return this.publish(track, {
      source,
      simulcast,
      videoCodec: codec,
      backupCodec: backup ? { codec: backup } : false,
      backupCodecPolicy: regress ? BackupCodecPolicy.REGRESSION : BackupCodecPolicy.SIMULCAST,
      // A slow machine draws fewer pictures, not smaller ones.
      degradationPreference: "maintain-resolution",
    });
  }

  /** What the browser sends of the camera, one text a layer, and what holds it back. */
  async sending(): Promise<string[]> {
    const camera = this.room.localParticipant.getTrackPublication(Track.Source.Camera);
    const report = await camera?.track?.getRTCStatsReport();
    const layers = Array.from(report?.values() ?? []).filter(({ type }) => type === "outbound-rtp");
    return layers.map(
      ({ rid, frameWidth, framesPerSecond, targetBitrate, qualityLimitationReason }) =>
        `${rid}: ${frameWidth ?? 0} wide, ${framesPerSecond ?? 0} fps, ${targetBitrate ?? 0} b/s, limited by ${qualityLimitationReason}`,
    );
  }

  /** The codecs that the camera has a sender for, and whether each sends. */
  publishing(): Record<string, boolean> {
    const camera = this.room.localParticipant.getTrackPublication(Track.Source.Camera);
    const track = camera?.track as LocalVideoTrack;
    const sends = (sender?: RTCRtpSender) =>
      sender?.getParameters().encodings.some(({ active }) => active) ?? false;
    const others = Array.from(track.simulcastCodecs, ([codec, { sender }]) => [codec, sends(sender)]);
    return Object.fromEntries([[track.codec, sends(track.sender)], ...others]);
  }

  /** The codec in which another participant's camera comes, as in `video/VP8`. */
  async receiving(identity: string): Promise<string> {
    const { receiver } = await this.track(identity, Track.Kind.Video);
    const report = Array.from((await receiver?.getStats())?.values() ?? []);
    const inbound = report.find(({ type }) => type === "inbound-rtp");
    return report.find(({ id }) => id === inbound?.codecId)?.mimeType ?? "";
  }

  /** PCM of another participant's microphone, once it is subscribed. */
  async listen(identity: string, seconds: number): Promise<string> {
    return listen((await this.track(identity, Track.Kind.Audio)).mediaStreamTrack, seconds);
  }

  /** The codes of another participant's camera, once it is subscribed. */
  async watch(identity: string, count: number): Promise<Watched> {
    return watch((await this.track(identity, Track.Kind.Video)).mediaStreamTrack, count);
  }

  /** Asks for fewer pictures a second of another participant's camera; 0 for all. */
  async slow(identity: string, fps: number): Promise<void> {
    await this.track(identity, Track.Kind.Video);
    const camera = this.room.remoteParticipants.get(identity)?.getTrackPublication(Track.Source.Camera);
    camera?.setVideoFPS(fps);
  }

  async sendData(text: string, reliable: boolean, topic: string): Promise<void> {
    const payload = new TextEncoder().encode(text);
    await this.room.localParticipant.publishData(payload, { reliable, topic });
  }

  async sendText(text: string, topic: string): Promise<void> {
    await this.room.localParticipant.sendText(text, { topic });
  }

  /** Publishes a data track and pushes numbered frames on it; gives its sid. */
  async push(name: string): Promise<string> {
    const track = await this.room.localParticipant.publishDataTrack({ name });
    let number = 0;
    const timer = window.setInterval(() => {
      number += 1;
      const text = `${number} `.padEnd(number % 10 === 0 ? LARGE_BYTES : 0, "x");
      track.tryPush({ payload: new TextEncoder().encode(text) });
    }, PUSH_MS);
    this.pushed = { track, timer };
    return track.info?.sid ?? "";
  }

  /** Ends the data track. */
  async stopPushing(): Promise<void> {
    window.clearInterval(this.pushed?.timer);
    await this.pushed?.track.unpublish();
  }

  async call(identity: string, method: string, payload: string): Promise<string> {
    const destinationIdentity = identity;
    return this.room.localParticipant.performRpc({ destinationIdentity, method, payload });
  }

  async mute(muted: boolean): Promise<void> {
    const microphone = this.room.localParticipant.getTrackPublication(Track.Source.Microphone);
    await (muted ? microphone?.mute() : microphone?.unmute());
  }

  /** How many peer connections this client runs. */
  peerConnections(): number {
    const { pcManager } = this.room.engine as unknown as {
      pcManager?: { publisher?: unknown; subscriber?: unknown };
    };
    return [pcManager?.publisher, pcManager?.subscriber].filter(Boolean).length;
  }

  private async publish(
    track: MediaStreamTrack | undefined,
    options: TrackPublishOptions,
  ): Promise<string> {
    if (!track) {
      throw new Error("the source has no track");
    }
    const publication = await this.room.localParticipant.publishTrack(track, options);
    return publication.trackSid;
  }

  private async track(identity: string, kind: Track.Kind): Promise<RemoteTrack> {
    for (;;) {
      const publications = this.room.remoteParticipants.get(identity)?.trackPublications.values();
      const found = Array.from(publications ?? []).find((one) => one.kind === kind && one.track);
      if (found?.track) {
        return found.track as RemoteTrack;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Notes each frame by its number and its length, and the end. */
  private async read(track: RemoteDataTrack): Promise<void> {
    const of = { identity: track.publisherIdentity, topic: track.info.name };
    const reader = track.subscribe().getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      const text = new TextDecoder().decode(next.value.payload);
      this.log.push({ name: "frame", text: `${parseInt(text, 10)}/${text.length}`, ...of });
    }
    this.log.push({ name: "frames_ended", ...of });
  }

  private listenToRoom(): void {
    const note = (entry: Entry) => this.log.push(entry);
    this.room
      .on(RoomEvent.ParticipantConnected, (who) =>
        note({ name: "participant_connected", identity: who.identity }),
      )
      .on(RoomEvent.ParticipantDisconnected, (who) =>
        note({ name: "participant_disconnected", identity: who.identity }),
      )
      .on(RoomEvent.TrackSubscribed, (track, _, who) => {
        track.attach();
        note({ name: "track_subscribed", identity: who.identity, text: track.kind });
      })
      .on(RoomEvent.TrackUnsubscribed, (track, _, who) =>
        note({ name: "track_unsubscribed", identity: who.identity, text: track.kind }),
      )
      .on(RoomEvent.TrackMuted, (_, who) => note({ name: "track_muted", identity: who.identity }))
      .on(RoomEvent.TrackUnmuted, (_, who) =>
        note({ name: "track_unmuted", identity: who.identity }),
      )
      .on(RoomEvent.DataTrackPublished, (track) => {
        void this.read(track);
      })
      .on(RoomEvent.SignalReconnecting, () => note({ name: "signal_reconnecting" }))
      .on(RoomEvent.Reconnecting, () => note({ name: "reconnecting" }))
      .on(RoomEvent.Reconnected, () => note({ name: "reconnected" }))
      .on(RoomEvent.Disconnected, (reason) =>
        note({ name: "disconnected", text: String(reason ?? "") }),
      )
      .on(RoomEvent.DataReceived, (payload, who, _, topic) =>
        note({
          name: "data_received",
          text: new TextDecoder().decode(payload),
          ...(who && { identity: who.identity }),
          ...(topic && { topic }),
        }),
      );
    this.room.registerTextStreamHandler("chat", async (reader, { identity }) => {
      note({ name: "text", identity, text: await reader.readAll() });
    });
    this.room.registerRpcMethod("greet", async ({ callerIdentity, payload }) =>
      Promise.resolve(`hello ${callerIdentity}: ${payload}`),
    );
  }
}

function period(context: AudioContext, chirp: Chirp): AudioBuffer {
  const rate = context.sampleRate;
  const count = Math.floor(chirp.sweep_s * rate);
  const buffer = context.createBuffer(1, count + Math.floor(chirp.gap_s * rate), rate);
  const samples = buffer.getChannelData(0);
  const slope = (chirp.end_hz - chirp.start_hz) / chirp.sweep_s;
  for (let i = 0; i < count; i += 1) {
    const t = i / rate;
    const fade = Math.min(1, Math.min(t, (count - 1 - i) / rate) / 0.01);
    const phase = 2 * Math.PI * (chirp.start_hz * t + (slope * t * t) / 2);
    samples[i] = chirp.amplitude * fade * Math.sin(phase);
  }
  return buffer;
}

declare global {
  interface Window {
    person: Person;
    newPerson: (singlePeerConnection: boolean, lacks: string[]) => void;
  }
}

setLogLevel(LogLevel.warn);
window.newPerson = (singlePeerConnection, lacks) => {
  if (lacks.length > 0) {
    lack(lacks);
  }
  window.person = new Person(singlePeerConnection);
};

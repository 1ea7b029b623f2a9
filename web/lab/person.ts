/** A person of a field test in a page: counts aloud, shows numbered pictures, records the other. */

import { LogLevel, type RemoteTrack, Room, RoomEvent, Track, setLogLevel } from "livekit-client";
import { Ear, Eye, SAMPLE_RATE } from "./frames";
import { watch } from "../watchdog/watchdog";
import { HEIGHT, Painter, RATE, WIDTH } from "./picture";

const SOON_S = 0.1;
const COMPARE_MS = 20;

interface Orders {
  url: string;
  token: string;
  shows: boolean;
  watches: boolean;
  watchdog: boolean;
}

class Person {
  /** All defaults: what an app gets that sets nothing. */
  private readonly room = new Room();
  private readonly ears: Ear[] = [];
  private readonly eyes: Eye[] = [];
  private readonly shown: number[] = [];
  private readonly log: [number, string][] = [];
  private voice: Voice | undefined;

  /** Joins, speaks and shows; done when it hears, and sees, the other. */
  async join({ url, token, shows, watches, watchdog }: Orders): Promise<void> {
    // Who may use a microphone is told of all networks of the device, not of the first alone.
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    this.room
      .on(RoomEvent.TrackSubscribed, (track) => this.take(track as RemoteTrack, watches))
      .on(RoomEvent.SignalReconnecting, () => this.note("loses its signalling"))
      .on(RoomEvent.Reconnecting, () => this.note("reconnects"))
      .on(RoomEvent.Reconnected, () => this.note("is back"))
      .on(RoomEvent.Disconnected, (reason) => this.note(`is disconnected, reason ${reason}`));
    await this.room.connect(url, token, { websocketTimeout: 15_000 });
    if (watchdog) {
      watch(this.room, url, { tell: (sentence) => this.note(sentence) });
    }
    this.voice = await Voice.begin();
    await this.publish(this.voice.track, Track.Source.Microphone);
    if (shows) {
      await this.publish(this.camera(), Track.Source.Camera);
    }
    while (this.ears.length === 0 || (watches && this.eyes.length === 0)) {
      await new Promise((resolve) => setTimeout(resolve, COMPARE_MS));
    }
    stream.getTracks().forEach((track) => track.stop());
  }

  /** What became of it all; times are of `performance.now()`, in ms. */
  told(): object {
    return {
      began: this.voice?.began ?? 0,
      shown: this.shown,
      heard: this.ears.map(({ marks, samples }) => ({ marks, samples })),
      viewed: this.eyes.map(({ seen, samples }) => ({ seen, samples })),
      log: this.log,
    };
  }

  /** A recording, in base64. */
  async recording(number: number): Promise<string> {
    const blob = new Blob((this.ears[number]?.pieces ?? []) as BlobPart[]);
    const reader = new FileReader();
    const read = new Promise((resolve) => reader.addEventListener("load", resolve));
    reader.readAsDataURL(blob);
    await read;
    return String(reader.result).replace(/^[^,]*,?/, "");
  }

  private take(track: RemoteTrack, watches: boolean): void {
    const { receiver, mediaStreamTrack } = track;
    track.attach(); // nobody plays what no element holds
    if (!receiver) {
      return;
    }
    if (track.kind === Track.Kind.Audio) {
      this.note("hears a track");
      this.ears.push(new Ear(mediaStreamTrack, receiver));
    } else if (watches) {
      this.note("sees a track");
      this.eyes.push(new Eye(mediaStreamTrack, receiver));
    }
  }

  private camera(): MediaStreamTrack {
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: WIDTH, height: HEIGHT });
    const context = canvas.getContext("2d", { alpha: false });
    const [track] = canvas.captureStream(0).getVideoTracks();
    if (!context || !track) {
      throw new Error("this browser draws no canvas");
    }
    const painter = new Painter(context);
    const began = performance.now();
    const next = () => {
      painter.paint(this.shown.length);
      this.shown.push(performance.now());
      (track as CanvasCaptureMediaStreamTrack).requestFrame();
      const due = began + (this.shown.length * 1_000) / RATE;
      setTimeout(next, Math.max(0, due - performance.now()));
    };
    next();
    return track;
  }

  private async publish(track: MediaStreamTrack, source: Track.Source): Promise<void> {
    await this.room.localParticipant.publishTrack(track, { source });
  }

  private note(text: string): void {
    this.log.push([performance.now(), text]);
  }
}

/** The count, played from a file by the audio thread. */
class Voice {
  /** When its first word was said: the least that was seen between the two clocks. */
  began = Number.POSITIVE_INFINITY;

  private constructor(readonly track: MediaStreamTrack) {}

  static async begin(): Promise<Voice> {
    const pcm = new Int16Array(await (await fetch("/voice")).arrayBuffer());
    const context = new AudioContext({ sampleRate: SAMPLE_RATE });
    const sound = context.createBufferSource();
    sound.buffer = context.createBuffer(1, pcm.length, SAMPLE_RATE);
    sound.buffer.copyToChannel(Float32Array.from(pcm, (value) => value / 32_768), 0);
    const output = context.createMediaStreamDestination();
    output.channelCount = 1;
    sound.connect(output);
    await context.resume();
    const [track] = output.stream.getAudioTracks();
    if (!track) {
      throw new Error("this browser plays no sound");
    }
    const voice = new Voice(track);
    const start = context.currentTime + SOON_S;
    sound.start(start);
    setInterval(() => {
      const apart = performance.now() - 1_000 * context.currentTime;
      voice.began = Math.min(voice.began, apart + 1_000 * start);
    }, COMPARE_MS);
    return voice;
  }
}

declare global {
  interface Window {
    tester: Person;
  }
}

setLogLevel(LogLevel.error);
window.tester = new Person();

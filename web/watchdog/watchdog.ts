/**
 * A watchdog for web apps: where nothing comes through any more and the server can be reached, it has LiveKit's
 * client take up its session again at once. By itself the client waits until a ping of its websocket stays
 * unanswered, some 15 s, and the browser's ICE agent never tries a network that came after the call began.
 *
 * Use it beside an unmodified client:
 *
 *   const room = new Room();
 *   await room.connect(url, token);
 *   const stop = watch(room, url);
 */

import type { RemoteTrack, Room, Track } from "livekit-client";
import { Pulse } from "./pulse";

const LOOK_MS = 100;
/** Between tries to reach the server; each has so long. */
const TRY_EACH_MS = 250;
const TRY_TAKES_MS = 2_000;
const TOPIC = "fairlead.pulse";
/** A session that was taken up again is left alone for so long. */
const REST_MS = 3_000;

export interface Options {
  /** What happened, for an app's own log. */
  tell?: (sentence: string) => void;
}

/** Watches a room that is connected at `url` until the function that it gives back is called. */
export function watch(room: Room, url: string, options: Options = {}): () => void {
  const watchdog = new Watchdog(room, url, options);
  return () => watchdog.stop();
}

class Watchdog {
  private readonly pulse = new Pulse();
  private readonly timer: ReturnType<typeof setInterval>;
  private looking = false;
  private stopped = false;
  /** Tries to reach the server that have no answer yet. */
  private readonly tries = new Set<AbortController>();
  private triedAt = Number.NEGATIVE_INFINITY;
  private restsUntil = 0;

  constructor(
    private readonly room: Room,
    private readonly url: string,
    private readonly options: Options,
  ) {
    this.timer = setInterval(() => void this.look(), LOOK_MS);
  }

  stop(): void {
    this.stopped = true;
    clearInterval(this.timer);
    this.calm();
  }

  private async look(): Promise<void> {
    if (this.looking) {
      return; // the browser takes longer to say how much came than it is asked for
    }
    this.looking = true;
    try {
      this.judge(await arrived(this.room));
    } catch {
      this.pulse.forget(); // the connection was closed meanwhile
    } finally {
      this.looking = false;
    }
  }

  private judge(arrived: Arrived | undefined): void {
    const now = performance.now();
    // The client knows already, or there is nothing to be missed.
    const idle = this.room.state !== "connected" || now < this.restsUntil;
    if (this.stopped || idle || arrived === undefined) {
      this.pulse.forget();
      this.calm();
      return;
    }
    const beat = this.pulse.look(now, arrived.bytes, arrived.roundTrip);
    if (beat === "ask") {
      this.ask();
    } else if (beat === "fine") {
      this.calm();
    } else if (now - this.triedAt >= TRY_EACH_MS) {
      this.triedAt = now;
      void this.reach();
    }
  }

  /** Nobody gets this, but its arrival is acknowledged, whether the server takes it or not. */
  private ask(): void {
    const { localParticipant } = this.room;
    const destinationIdentities = [localParticipant.identity];
    localParticipant
      .publishData(new Uint8Array(), { reliable: false, topic: TOPIC, destinationIdentities })
      .catch(() => undefined);
  }

  private calm(): void {
    this.tries.forEach((one) => one.abort());
    this.tries.clear();
  }

  /** The way that media took is dead. Whether the device has another one, the server's answer tells. */
  private async reach(): Promise<void> {
    const one = new AbortController();
    this.tries.add(one);
    const timer = setTimeout(() => one.abort(), TRY_TAKES_MS);
    try {
      const address = this.url.replace(/^ws/, "http");
      const { signal } = one;
      await fetch(address, { method: "HEAD", mode: "no-cors", cache: "no-store", signal });
    } catch {
      return; // the next try follows
    } finally {
      clearTimeout(timer);
      this.tries.delete(one);
    }
    // What came back to life meanwhile is left alone, and of several answers one counts.
    if (!one.signal.aborted) {
      this.calm();
      this.restsUntil = performance.now() + REST_MS;
      this.options.tell?.("Nothing came through, and the server can be reached: the session is taken up again.");
      await this.room.simulateScenario("signal-reconnect");
    }
  }
}

interface Arrived {
  bytes: number;
  /** In ms. */
  roundTrip: number;
}

/** What came over the connection that carries what others say, or else over that for what this one says;
 * undefined if there is neither. */
async function arrived(room: Room): Promise<Arrived | undefined> {
  const report = await (receiver(room) ?? sender(room))?.getStats();
  const pairs = Array.from(report?.values() ?? []).filter(({ type }) => type === "candidate-pair");
  if (pairs.length === 0) {
    return undefined;
  }
  const bytes = pairs.reduce((sum, pair) => sum + (pair.bytesReceived ?? 0), 0);
  const used = pairs.find(({ nominated, state }) => nominated && state === "succeeded");
  return { bytes, roundTrip: 1_000 * (used?.currentRoundTripTime ?? 0) };
}

function receiver(room: Room): RTCRtpReceiver | undefined {
  for (const participant of room.remoteParticipants.values()) {
    for (const { track } of participant.trackPublications.values()) {
      const receiver = (track as RemoteTrack | undefined)?.receiver;
      if (receiver) {
        return receiver;
      }
    }
  }
  return undefined;
}

function sender(room: Room): RTCRtpSender | undefined {
  for (const { track } of room.localParticipant.trackPublications.values()) {
    const sender = (track as (Track & { sender?: RTCRtpSender }) | undefined)?.sender;
    if (sender) {
      return sender;
    }
  }
  return undefined;
}

/** What can be measured from here: round trips, the picture received, what was lost. */

import { type Room, RoomEvent, type Track } from "livekit-client";
import type { Sound } from "./cable";

const TOPIC = "ping";
const PERIOD_MS = 1_000;
const KEPT = 9;
const SAMPLES_IN_MS = 48;

export interface Measures {
  /** Round trip to the other participant and back, through the mesh, in ms. */
  callMs: number | null;
  /** Round trip to this one's own edge, in ms. */
  edgeMs: number | null;
  /** The picture that arrives. */
  picture: string | null;
  /** Share of media packets that did not arrive, 0 to 1. */
  lost: number | null;
  /** Of the sound that arrives, since it came; null where none does. */
  sound: Sound | null;
}

interface Ping {
  id: number;
  back: boolean;
}

/** Measures once a second until the room is left. */
export class Meter {
  private readonly sent = new Map<number, number>();
  private readonly trips: number[] = [];
  private next = 0;
  private before = { received: 0, lost: 0 };

  constructor(
    private readonly room: Room,
    private readonly tracks: () => { sent: Track | undefined; received: Track[] },
    private readonly tell: (measures: Measures) => void,
  ) {
    room.on(RoomEvent.DataReceived, (payload, who, _, topic) => {
      if (topic === TOPIC && who) {
        this.hear(payload, who.identity);
      }
    });
    const timer = setInterval(() => void this.once(), PERIOD_MS);
    room.on(RoomEvent.Disconnected, () => clearInterval(timer));
  }

  private async once(): Promise<void> {
    const partner = this.room.remoteParticipants.keys().next().value;
    if (partner === undefined) {
      this.trips.length = 0;
    } else {
      this.next += 1;
      this.sent.delete(this.next - KEPT);
      this.sent.set(this.next, performance.now());
      await this.say({ id: this.next, back: false }, partner);
    }
    const { sent, received } = this.tracks();
    this.tell({
      callMs: median(this.trips),
      edgeMs: await edgeRoundTrip(sent),
      ...(await this.incoming(received)),
    });
  }

  private async say(ping: Ping, identity: string): Promise<void> {
    const payload = new TextEncoder().encode(JSON.stringify(ping));
    const options = { reliable: false, topic: TOPIC, destinationIdentities: [identity] };
    await this.room.localParticipant.publishData(payload, options).catch(() => undefined);
  }

  private hear(payload: Uint8Array, identity: string): void {
    const ping = JSON.parse(new TextDecoder().decode(payload)) as Ping;
    if (!ping.back) {
      void this.say({ id: ping.id, back: true }, identity);
      return;
    }
    const start = this.sent.get(ping.id);
    if (start !== undefined) {
      this.sent.delete(ping.id);
      this.trips.push(performance.now() - start);
      this.trips.splice(0, this.trips.length - KEPT);
    }
  }

  private async incoming(tracks: Track[]): Promise<Pick<Measures, "picture" | "lost" | "sound">> {
    let picture: string | null = null;
    let sound: Sound | null = null;
    const now = { received: 0, lost: 0 };
    for (const track of tracks) {
      for (const stat of await reports(track, "inbound-rtp")) {
        now.received += number(stat, "packetsReceived");
        now.lost += number(stat, "packetsLost");
        if (stat["kind"] === "audio") {
          const made = number(stat, "concealedSamples") - number(stat, "silentConcealedSamples");
          sound = { lost: number(stat, "packetsLost"), concealedMs: made / SAMPLES_IN_MS };
        }
        if (stat["kind"] === "video" && stat["frameWidth"]) {
          const rate = Math.round(number(stat, "framesPerSecond"));
          picture = `${number(stat, "frameHeight")}p · ${rate} fps`;
        }
      }
    }
    const received = now.received - this.before.received;
    const lost = Math.max(0, now.lost - this.before.lost);
    this.before = now;
    return { picture, sound, lost: received > 0 ? lost / (received + lost) : null };
  }
}

async function edgeRoundTrip(track: Track | undefined): Promise<number | null> {
  for (const stat of track ? await reports(track, "candidate-pair") : []) {
    if (stat["nominated"] && typeof stat["currentRoundTripTime"] === "number") {
      return stat["currentRoundTripTime"] * 1_000;
    }
  }
  return null;
}

async function reports(track: Track, type: string): Promise<Record<string, unknown>[]> {
  const report = await (track as Track & {
    getRTCStatsReport(): Promise<RTCStatsReport | undefined>;
  }).getRTCStatsReport();
  const found: Record<string, unknown>[] = [];
  report?.forEach((stat: Record<string, unknown>) => {
    if (stat["type"] === type) {
      found.push(stat);
    }
  });
  return found;
}

function number(stat: Record<string, unknown>, name: string): number {
  const value = stat[name];
  return typeof value === "number" ? value : 0;
}

function median(values: readonly number[]): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? null;
}

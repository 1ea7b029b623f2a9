/** What really comes out of a remote track, frame by frame, and what the browser says of it. */

import { read } from "./picture";

interface TrackProcessor<T> {
  readonly readable: ReadableStream<T>;
}

declare const MediaStreamTrackProcessor: new <T>(options: {
  track: MediaStreamTrack;
}) => TrackProcessor<T>;

export const SAMPLE_RATE = 48_000;
const SAMPLE_MS = 500;

/** A sound as it was played; times are of `performance.now()`, in ms. */
export class Ear {
  readonly pieces: Int16Array[] = [];
  readonly marks: [number, number][] = [];
  readonly samples: Record<string, number>[] = [];
  private count = 0;

  constructor(track: MediaStreamTrack, receiver: RTCRtpReceiver) {
    void eachFrame<AudioData>(track, (frame) => {
      this.keep(frame);
    });
    sample(receiver, this.samples, (report) => ({
      packets: report.packetsReceived ?? 0,
      lost: report.packetsLost ?? 0,
      discarded: report.packetsDiscarded ?? 0,
      samples: report.totalSamplesReceived ?? 0,
      concealed: (report.concealedSamples ?? 0) - (report.silentConcealedSamples ?? 0),
      all_concealed: report.concealedSamples ?? 0,
      bytes: report.bytesReceived ?? 0,
    }));
  }

  private keep(frame: AudioData): void {
    if (frame.sampleRate !== SAMPLE_RATE) {
      throw new Error(`the sound runs at ${frame.sampleRate} Hz, not ${SAMPLE_RATE}`);
    }
    const plane = new Float32Array(frame.numberOfFrames);
    frame.copyTo(plane, { planeIndex: 0, format: "f32-planar" });
    const piece = Int16Array.from(plane, (value) => 32_767 * Math.max(-1, Math.min(1, value)));
    this.pieces.push(piece);
    this.count += piece.length;
    if (this.pieces.length % 10 === 1) {
      this.marks.push([this.count, performance.now()]);
    }
  }
}

/** Pictures as they were decoded: when, number, width, height. */
export class Eye {
  readonly seen: [number, number, number, number][] = [];
  readonly samples: Record<string, number>[] = [];

  constructor(track: MediaStreamTrack, receiver: RTCRtpReceiver) {
    void eachFrame<VideoFrame>(track, async (frame) => {
      const at = performance.now();
      const bytes = new Uint8Array(frame.allocationSize());
      const [luma] = await frame.copyTo(bytes);
      const rect = frame.visibleRect;
      if (!luma || !rect || !frame.format || !/^(I420|NV12)/.test(frame.format)) {
        throw new Error(`the luma of a ${frame.format} picture can't be read`);
      }
      const number = read(bytes.subarray(luma.offset), rect.width, rect.height, luma.stride);
      this.seen.push([at, number, rect.width, rect.height]);
    });
    sample(receiver, this.samples, (report) => ({
      packets: report.packetsReceived ?? 0,
      lost: report.packetsLost ?? 0,
      bytes: report.bytesReceived ?? 0,
      decoded: report.framesDecoded ?? 0,
      freezes: report.freezeCount ?? 0,
      frozen_s: report.totalFreezesDuration ?? 0,
      keyframe_requests: (report.pliCount ?? 0) + (report.firCount ?? 0),
    }));
  }
}

type Report = Record<string, number | undefined> & { type: string };

function sample(
  receiver: RTCRtpReceiver,
  samples: Record<string, number>[],
  of: (report: Report) => Record<string, number>,
): void {
  setInterval(async () => {
    for (const report of (await receiver.getStats()).values() as Iterable<Report>) {
      if (report.type === "inbound-rtp") {
        samples.push({ at: performance.now(), ...of(report) });
      }
    }
  }, SAMPLE_MS);
}

async function eachFrame<T extends { close(): void }>(
  track: MediaStreamTrack,
  take: (frame: T) => void | Promise<void>,
): Promise<void> {
  const reader = new MediaStreamTrackProcessor<T>({ track: track.clone() }).readable.getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done || !value) {
      return;
    }
    try {
      await take(value);
    } finally {
      value.close();
    }
  }
}

/** Reads what really comes out of a remote track: PCM and decoded pictures. */

import { type Code, read } from "./picture";

interface TrackProcessor<T> {
  readonly readable: ReadableStream<T>;
}

declare const MediaStreamTrackProcessor: new <T>(options: {
  track: MediaStreamTrack;
}) => TrackProcessor<T>;

export interface Picture extends Code {
  width: number;
  height: number;
}

export interface Watched {
  pictures: Picture[];
  unread: number;
}

/** Mono 16-bit PCM at 48 kHz of the next seconds, in base64. */
export async function listen(track: MediaStreamTrack, seconds: number): Promise<string> {
  const wanted = Math.round(seconds * 48_000);
  const samples = new Int16Array(wanted);
  let count = 0;
  await eachFrame<AudioData>(track, (frame) => {
    if (frame.sampleRate !== 48_000) {
      throw new Error(`the audio runs at ${frame.sampleRate} Hz, not 48000`);
    }
    const plane = new Float32Array(frame.numberOfFrames);
    frame.copyTo(plane, { planeIndex: 0, format: "f32-planar" });
    for (const sample of plane) {
      if (count < wanted) {
        samples[count] = Math.max(-1, Math.min(1, sample)) * 32_767;
        count += 1;
      }
    }
    return count < wanted;
  });
  return base64(new Uint8Array(samples.buffer));
}

/** The next readable codes of a video track, and how many pictures after the first were unreadable. */
export async function watch(track: MediaStreamTrack, count: number): Promise<Watched> {
  const watched: Watched = { pictures: [], unread: 0 };
  await eachFrame<VideoFrame>(track, async (frame) => {
    const bytes = new Uint8Array(frame.allocationSize());
    const [luma] = await frame.copyTo(bytes);
    const rect = frame.visibleRect;
    if (!luma || !rect || !frame.format || !/^(I420|NV12)/.test(frame.format)) {
      throw new Error(`cannot read the luma of a ${frame.format} picture`);
    }
    const code = read(bytes.subarray(luma.offset), rect.width, rect.height, luma.stride);
    if (code) {
      watched.pictures.push({ ...code, width: rect.width, height: rect.height });
    } else if (watched.pictures.length > 0) {
      watched.unread += 1;
    }
    return watched.pictures.length < count;
  });
  return watched;
}

async function eachFrame<T extends { close(): void }>(
  track: MediaStreamTrack,
  more: (frame: T) => boolean | Promise<boolean>,
): Promise<void> {
  const copy = track.clone();
  const reader = new MediaStreamTrackProcessor<T>({ track: copy }).readable.getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done || !value) {
        throw new Error("the track ended");
      }
      try {
        if (!(await more(value))) {
          return;
        }
      } finally {
        value.close();
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
    copy.stop();
  }
}

function base64(bytes: Uint8Array): string {
  let text = "";
  for (let start = 0; start < bytes.length; start += 32_768) {
    text += String.fromCharCode(...bytes.subarray(start, start + 32_768));
  }
  return btoa(text);
}

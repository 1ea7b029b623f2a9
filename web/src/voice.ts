/** A generated voice, for those without a microphone: it hums in short phrases. */

import type { Role } from "./role";

const NOTES = [0, 2, 4, 7, 9, 7, 4, 2];
const SYLLABLE_S = 0.32;
const PHRASE = 6;
const REST = 3;
const LOUDNESS = 0.16;

export interface Voice {
  track: MediaStreamTrack;
  stop: () => void;
}

/** Starts humming; the track carries the sound. Nothing is played here. */
export function hum(role: Role): Voice {
  const context = new AudioContext();
  const base = role.id === "shopper" ? 220 : 147;
  const source = new OscillatorNode(context, { type: "sawtooth", frequency: base });
  const envelope = new GainNode(context, { gain: 0 });
  const output = context.createMediaStreamDestination();
  for (const [frequency, gain] of [[620, 1], [1_150, 0.5], [2_500, 0.15]] as const) {
    const formant = new BiquadFilterNode(context, { type: "bandpass", frequency, Q: 7 });
    source.connect(formant).connect(new GainNode(context, { gain })).connect(envelope);
  }
  envelope.connect(output);
  source.start();
  let syllable = 0;
  const speak = () => {
    const at = context.currentTime + 0.05;
    if (syllable % (PHRASE + REST) < PHRASE) {
      const note = NOTES[syllable % NOTES.length] ?? 0;
      source.frequency.setTargetAtTime(base * 2 ** (note / 12), at, 0.03);
      envelope.gain.setTargetAtTime(LOUDNESS, at, 0.04);
      envelope.gain.setTargetAtTime(0, at + SYLLABLE_S * 0.55, 0.05);
    }
    syllable += 1;
  };
  const timer = setInterval(speak, SYLLABLE_S * 1_000);
  void context.resume();
  const [track] = output.stream.getAudioTracks();
  if (!track) {
    throw new Error("this browser makes no sound");
  }
  return {
    track,
    stop: () => {
      clearInterval(timer);
      track.stop();
      void context.close();
    },
  };
}

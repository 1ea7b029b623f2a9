/** Generated voices, for those without a microphone: one hums in short phrases, one counts on and on. */

import type { Role } from "./role";

const NOTES = [0, 2, 4, 7, 9, 7, 4, 2];
const SYLLABLE_S = 0.32;
const PHRASE = 6;
const REST = 3;
const LOUDNESS = 0.16;
const FORMANTS = [[620, 1], [1_150, 0.5], [2_500, 0.15]] as const;
/** First and second formant of each of eight vowels, in Hz: who counts sings another one on each note. */
const VOWELS = [[730, 1_090], [530, 1_840], [270, 2_290], [570, 840], [300, 870], [660, 1_720], [490, 1_350], [440, 1_020]] as const;
const SCALE = [0, 2, 4, 5, 7, 9, 11, 12] as const;
const COUNT_S = 0.36;

export interface Voice {
  track: MediaStreamTrack;
  stop: () => void;
}

/** Starts humming; the track carries the sound. Nothing is played here. */
export function hum(role: Role): Voice {
  const throat = new Throat(role.id === "shopper" ? 220 : 147);
  let syllable = 0;
  return throat.every(SYLLABLE_S, () => {
    if (syllable % (PHRASE + REST) < PHRASE) {
      throat.sing(NOTES[syllable % NOTES.length] ?? 0, SYLLABLE_S * 0.55);
    }
    syllable += 1;
  });
}

/** Starts counting from one to eight, up the scale, again and again: a missing number is heard at once. */
export function count(role: Role): Voice {
  const throat = new Throat(role.id === "shopper" ? 220 : 131);
  let number = 0;
  return throat.every(COUNT_S, () => {
    throat.shape(VOWELS[number] ?? VOWELS[0]);
    throat.sing(SCALE[number] ?? 0, COUNT_S * 0.6);
    number = (number + 1) % SCALE.length;
  });
}

/** A reed and three resonances. */
class Throat {
  private readonly context = new AudioContext();
  private readonly reed: OscillatorNode;
  private readonly envelope: GainNode;
  private readonly mouth: BiquadFilterNode[];

  constructor(private readonly base: number) {
    const { context } = this;
    this.reed = new OscillatorNode(context, { type: "sawtooth", frequency: base });
    this.envelope = new GainNode(context, { gain: 0 });
    this.mouth = FORMANTS.map(([frequency, gain]) => {
      const formant = new BiquadFilterNode(context, { type: "bandpass", frequency, Q: 7 });
      this.reed.connect(formant).connect(new GainNode(context, { gain })).connect(this.envelope);
      return formant;
    });
    this.reed.start();
  }

  /** One syllable, so many semitones above the base. */
  sing(note: number, seconds: number): void {
    const at = this.context.currentTime + 0.05;
    this.reed.frequency.setTargetAtTime(this.base * 2 ** (note / 12), at, 0.02);
    this.envelope.gain.setTargetAtTime(LOUDNESS, at, 0.03);
    this.envelope.gain.setTargetAtTime(0, at + seconds, 0.05);
  }

  /** From here on another vowel. */
  shape(vowel: readonly [number, number]): void {
    const at = this.context.currentTime + 0.04;
    vowel.forEach((frequency, index) => this.mouth[index]?.frequency.setTargetAtTime(frequency, at, 0.015));
  }

  /** Calls `syllable` again and again until the voice is stopped. */
  every(seconds: number, syllable: () => void): Voice {
    const output = this.context.createMediaStreamDestination();
    this.envelope.connect(output);
    const timer = setInterval(syllable, seconds * 1_000);
    void this.context.resume();
    const [track] = output.stream.getAudioTracks();
    if (!track) {
      throw new Error("this browser makes no sound");
    }
    return {
      track,
      stop: () => {
        clearInterval(timer);
        track.stop();
        void this.context.close();
      },
    };
  }
}

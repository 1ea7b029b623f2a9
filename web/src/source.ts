/** Where picture and sound come from: a device, or what the page generates. */

import { count, hum } from "./voice";
import { paint } from "./scenery";
import { GUIDE, type Role } from "./role";
import { whyNoDevice } from "./sentence";

export type Kind = "device" | "generated";

export interface Source {
  kind: Kind;
  track: MediaStreamTrack;
  /** Set where the device that was asked for cannot be used. */
  trouble?: string;
  stop: () => void;
}

/** A camera, or the generated picture where none can be had. */
export async function picture(kind: Kind, role: Role): Promise<Source> {
  const video = { width: { ideal: 1280 }, height: { ideal: 720 } };
  return choose(kind, { video }, () => paint(role), ["camera", "A generated picture"]);
}

/** A microphone, or the generated voice where none can be had. */
export async function sound(kind: Kind, role: Role): Promise<Source> {
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  return choose(kind, { audio }, () => (role === GUIDE ? count(role) : hum(role)), ["microphone", "A generated voice"]);
}

async function choose(
  kind: Kind,
  wish: MediaStreamConstraints,
  generate: () => { track: MediaStreamTrack; stop: () => void },
  [device, instead]: [string, string],
): Promise<Source> {
  if (kind === "generated") {
    return { kind, ...generate() };
  }
  try {
    const [track] = (await navigator.mediaDevices.getUserMedia(wish)).getTracks();
    if (!track) {
      throw new Error(`the ${device} has no track`);
    }
    return { kind, track, stop: () => track.stop() };
  } catch (error) {
    const trouble = whyNoDevice(error, device, instead);
    return { kind: "generated", trouble, ...generate() };
  }
}

/** The call page: the other one's picture, one's own, the controls, the path and the chat. */

import { LogLevel, Track, setLogLevel } from "livekit-client";
import { Cable } from "./cable";
import { Chat } from "./chat";
import { Companion } from "./companion";
import { leaveButton, toggle } from "./controls";
import { el } from "./element";
import { icon, mark } from "./icon";
import { WorldMap, legend } from "./map";
import { type Measures, Meter } from "./measure";
import { other, roleOf } from "./role";
import { RouteLine } from "./route";
import { ServerError, pathBetween, watchWorld } from "./server";
import { Session, type Tone } from "./session";
import type { Kind } from "./source";
import { Ticker } from "./ticker";

setLogLevel(LogLevel.warn);

const parameters = new URLSearchParams(location.search);
const role = roleOf(parameters);
const there = other(role);
const roomName = parameters.get("room") ?? "demo";
const wish: Kind = parameters.get("source") === "generated" ? "generated" : "device";
const identity = `${role.id}-${crypto.randomUUID().slice(0, 4)}`;

const status = el("p", { class: "status", role: "status" });
const notice = el("div", { class: "notice", role: "alert", hidden: true });
const remoteVideo = el("video", { class: "stage-video", autoplay: true, playsinline: true, "aria-label": `Picture of the ${there.name.toLowerCase()}` });
const localVideo = el("video", { class: "preview-video", autoplay: true, playsinline: true, muted: true, "aria-label": "Your own picture" });
localVideo.muted = true;
const remoteSound = el("audio", { autoplay: true });
const bring = el("button", { class: "bring", type: "button", hidden: true, click: () => void bringCompanion() }, icon("speaker"), `Bring in a ${there.name.toLowerCase()} who talks`);
const empty = el("div", { class: "stage-empty" }, mark(), el("p", {}, `Waiting for the ${there.name.toLowerCase()} in ${there.place}.`), bring);
const remoteMuted = el("span", { class: "tag-icon", hidden: true }, icon("microphone-off"));
const remoteTag = el("figcaption", { class: "tag" }, `${there.name} · ${there.place}`, remoteMuted);
const localTag = el("figcaption", { class: "tag" }, "You");
const remote = el("figure", { class: "stage" }, remoteVideo, empty, remoteTag);
const preview = el("figure", { class: "preview" }, localVideo, localTag);
const unblock = el("button", { class: "unblock", type: "button", hidden: true, click: () => void session.room.startAudio() }, icon("speaker"), "Click to hear the call");

const session = new Session(role, roomName, identity, {
  status: setStatus,
  trouble: (sentence) => setNotice(sentence),
  ended,
  remote: (kind, track) => {
    const element = kind === Track.Kind.Video ? remoteVideo : remoteSound;
    track?.attach(element);
    if (kind === Track.Kind.Video) {
      empty.hidden = track !== null;
      remoteVideo.hidden = track === null;
    }
  },
  remoteMuted: (kind, muted) => {
    if (kind === Track.Kind.Audio) {
      remoteMuted.hidden = !muted;
      remoteMuted.title = `The ${there.name.toLowerCase()} is muted`;
    } else {
      remoteVideo.hidden = muted;
      empty.hidden = !muted;
    }
  },
  speaking: (identities) => {
    remote.classList.toggle("speaking", [...identities].some((one) => one !== identity));
    preview.classList.toggle("speaking", identities.has(identity));
  },
  soundBlocked: (blocked) => {
    unblock.hidden = !blocked || remoteSound.muted;
  },
});
const chat = new Chat(session.room, setNotice);
const controls = makeControls();
const map = new WorldMap();
const route = new RouteLine();
const cable = new Cable((sentence) => setNotice(sentence));
const ticker = new Ticker(role.region, there.region, () => cable.framesLost);
let companion: Companion | undefined;
const measured = {
  call: figure("Round trip to the other and back"),
  edge: figure(`To the ${role.place} edge and back`),
  lost: figure("Packets lost, last second"),
  picture: figure("Picture received"),
};

document.title = `${role.name} in ${role.place} · Fairlead`;
document.getElementById("app")?.replaceChildren(page());
remoteVideo.hidden = true;
watchWorld((world) => {
  if (world instanceof ServerError) {
    return;
  }
  // What is drawn is the way of the other's voice to here: that is what can be missed.
  const path = pathBetween(world, there.region, role.region);
  map.show(world, path);
  route.show(world, path);
  cable.show(world, path);
  ticker.show(world);
});
void start();

function page(): HTMLElement {
  const brand = el("a", { class: "brand", href: "/", target: "_top" }, mark(), "Fairlead");
  const title = el("h1", { class: "who" }, role.name, el("span", {}, `near ${role.place}`));
  const path = el(
    "section",
    { class: "panel", "aria-labelledby": "path-title" },
    el("h2", { id: "path-title" }, "The path of this call"),
    map.element,
    legend(),
    route.element,
    el("dl", { class: "figures" }, ...Object.values(measured).map((one) => one.element)),
  );
  const proof = el("section", { class: "panel panel-cable", "aria-label": "Cut a cable" }, cable.element, ticker.element);
  const talk = el("section", { class: "panel panel-chat", "aria-labelledby": "chat-title" }, el("h2", { id: "chat-title" }, "Chat"), chat.element);
  return el(
    "div",
    { class: `call call-${role.id}` },
    el("header", { class: "bar" }, brand, title, status),
    notice,
    el("main", { class: "call-main" }, el("div", { class: "scene" }, el("div", { class: "pictures" }, remote, preview, unblock), controls.element, proof), el("aside", { class: "side" }, path, talk)),
    remoteSound,
  );
}

function makeControls(): { element: HTMLElement; setKinds: (picture: Kind, voice: Kind) => void } {
  const { Camera, Microphone } = Track.Source;
  const mic = toggle({ label: "Sound", on: ["microphone", "Mute"], off: ["microphone-off", "Unmute"] }, true, (on) => {
    mic.set(on);
    void session.setMuted(Microphone, !on);
  });
  const cam = toggle({ label: "Picture", on: ["camera", "Hide"], off: ["camera-off", "Show"] }, true, (on) => {
    cam.set(on);
    preview.classList.toggle("preview-off", !on);
    void session.setMuted(Camera, !on);
  });
  const live = toggle({ label: "Picture source", on: ["picture", "Generated"], off: ["camera", "Camera"] }, wish === "device", (on) => void change(Camera, on));
  const voice = toggle({ label: "Sound source", on: ["tone", "Hum"], off: ["microphone", "Microphone"] }, wish === "device", (on) => void change(Microphone, on));
  const ear = toggle({ label: "Loudspeaker", on: ["speaker", "Silence"], off: ["speaker-off", "Listen"] }, !parameters.has("silent"), (on) => {
    ear.set(on);
    remoteSound.muted = !on;
    unblock.hidden ||= !on;
  });
  remoteSound.muted = parameters.has("silent");

  async function change(source: Track.Source.Camera | Track.Source.Microphone, device: boolean): Promise<void> {
    const kind = await session.use(source, device ? "device" : "generated");
    (source === Camera ? live : voice).set(kind === "device");
    showPreview();
  }

  const leave = leaveButton(() => void session.leave());
  const buttons = [mic, cam, live, voice, ear].map((one) => one.element);
  return {
    element: el("div", { class: "controls", role: "toolbar", "aria-label": "Call" }, ...buttons, leave),
    setKinds: (picture, sound) => {
      live.set(picture === "device");
      voice.set(sound === "device");
    },
  };
}

async function start(): Promise<void> {
  if (!(await session.join())) {
    return;
  }
  chat.setOpen(true);
  bring.hidden = false;
  window.addEventListener("pagehide", () => void companion?.stop());
  const { Camera, Microphone } = Track.Source;
  const picture = await session.use(Camera, wish);
  showPreview();
  controls.setKinds(picture, await session.use(Microphone, wish));
  new Meter(session.room, tracks, showMeasures);
}

/** The click that asks for it also lets the page play and make sound. */
async function bringCompanion(): Promise<void> {
  bring.hidden = true;
  void session.room.startAudio();
  companion = new Companion(role, roomName, (sentence) => setNotice(sentence));
  await companion.start();
}

function tracks(): { sent: Track | undefined; received: Track[] } {
  const received = [...session.room.remoteParticipants.values()].flatMap((who) =>
    [...who.trackPublications.values()].flatMap((one) => (one.track ? [one.track] : [])),
  );
  const sent = session.room.localParticipant.getTrackPublication(Track.Source.Microphone)?.track;
  return { sent, received };
}

function showPreview(): void {
  const track = session.preview();
  localVideo.srcObject = track ? new MediaStream([track]) : null;
}

function showMeasures({ callMs, edgeMs, lost, picture, sound }: Measures): void {
  cable.hear(sound);
  measured.call.set(callMs === null ? null : `${Math.round(callMs)} ms`);
  measured.edge.set(edgeMs === null ? null : edgeMs < 10 ? `${edgeMs.toFixed(1)} ms` : `${Math.round(edgeMs)} ms`);
  measured.lost.set(lost === null ? null : `${(lost * 100).toFixed(1)} %`);
  measured.picture.set(picture);
}

function figure(name: string): { element: HTMLElement; set: (value: string | null) => void } {
  const value = el("dd", {}, "—");
  return {
    element: el("div", { class: "figure" }, el("dt", {}, name), value),
    set: (text) => {
      value.textContent = text ?? "—";
    },
  };
}

function setStatus(tone: Tone, sentence: string): void {
  status.className = `status status-${tone}`;
  status.textContent = sentence;
}

function setNotice(sentence: string, ...actions: HTMLElement[]): void {
  const close = el("button", { class: "notice-close", type: "button", click: () => (notice.hidden = true) }, "Dismiss");
  notice.replaceChildren(el("p", {}, sentence), ...(actions.length > 0 ? actions : [close]));
  notice.hidden = false;
}

function ended(sentence: string): void {
  setStatus("bad", "Not in the call.");
  chat.setOpen(false);
  bring.hidden = true;
  void companion?.stop();
  localVideo.srcObject = null;
  remoteVideo.hidden = true;
  empty.hidden = false;
  const again = el("button", { class: "notice-close", type: "button", click: () => location.reload() }, "Join again");
  setNotice(sentence, again);
}

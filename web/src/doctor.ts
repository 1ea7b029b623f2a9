/** Tries each way to a node from this browser, one after the other, and says what to fix. */

import { ConnectionState, Room, RoomEvent } from "livekit-client";
import { type Answer, type Attempt, diagnosis, refusal, remedy } from "./diagnosis";
import { el } from "./element";
import { mark } from "./icon";
import { WAYS, type Way, narrowed } from "./ways";

/** Of the first answer. */
const ANSWER_MS = 5_000;
/** Of one way: ICE and DTLS take five round trips or more. */
const CONNECT_MS = 10_000;
/** After signalling came up: where the node has the way was told by then. */
const TOLD_MS = 2_000;
/** Of a refusal, which may be a page of a proxy's. */
const MOST_QUOTED = 120;

// Behind the #: what stands there goes into no log.
const given = new URLSearchParams(location.hash.slice(1));
const here = new URL(".", location.href).href.replace(/^http/, "ws");
const server = el("input", { name: "server", required: true, value: given.get("url") ?? here });
const token = el("input", { name: "token", required: true, value: given.get("token") ?? "", autocomplete: "off" });
const button = el("button", { class: "doctor-go" }, "Try each way");
const summary = el("p", { class: "doctor-summary", role: "status" });
const table = el("table", { class: "doctor-ways" });

const form = el(
  "form",
  {
    class: "doctor-form",
    submit: (event) => {
      event.preventDefault();
      void examine();
    },
  },
  el("label", {}, "Server", server),
  el("label", {}, "Token", token),
  button,
);

document.getElementById("app")?.replaceChildren(
  el(
    "main",
    { class: "doctor" },
    el("p", { class: "brand" }, mark(), "Fairlead"),
    el("h1", {}, "Do calls get through from here?"),
    el("p", { class: "doctor-about" }, "Each way to the node is tried with the client that apps use. ", el("code", {}, "fairlead doctor --link"), " makes a link to this page with a token in it."),
    form,
    summary,
    table,
  ),
);
if (token.value !== "") {
  void examine();
}

async function examine(): Promise<void> {
  button.disabled = true;
  summary.className = "doctor-summary";
  summary.textContent = "";
  table.replaceChildren();
  const [says, how] = await judged();
  summary.classList.add(`doctor-${how}`);
  summary.textContent = says;
  button.disabled = false;
}

/** The sentence, and how well calls get through. */
async function judged(): Promise<[says: string, how: "good" | "fair" | "bad"]> {
  const url = read(server.value);
  if (!url) {
    return [`${server.value} is no address of a server: give one as wss://live.example.com.`, "bad"];
  }
  if (location.protocol === "https:" && url.protocol === "ws:") {
    return [`A page that came by HTTPS may not visit ${url.origin}: give a wss:// address.`, "bad"];
  }
  const refused = refusal(url, await ask(url));
  if (refused !== null) {
    return [refused, "bad"];
  }
  const cells = WAYS.map((way) => {
    const cell = el("td", {}, "waits");
    table.append(el("tr", {}, el("th", { scope: "row" }, way.name), cell));
    return cell;
  });
  const attempts: Attempt[] = [];
  for (const [index, way] of WAYS.entries()) {
    const cell = cells[index] as HTMLTableCellElement;
    cell.textContent = "is tried …";
    const since = performance.now();
    const attempt = await tried(way, url.href);
    attempts.push(attempt);
    cell.className = attempt.verdict;
    cell.textContent = told(attempt, performance.now() - since);
  }
  const first = attempts.findIndex((one) => one.verdict === "works");
  return [diagnosis(attempts), first === 0 ? "good" : first > 0 ? "fair" : "bad"];
}

function read(text: string): URL | null {
  try {
    const url = new URL(text.trim().replace(/^http/, "ws"));
    return /^wss?:$/.test(url.protocol) && url.hostname !== "" ? url : null;
  } catch {
    return null;
  }
}

/** Whether the server lets the token join, over HTTP. */
async function ask(url: URL): Promise<Answer> {
  const path = `${url.href.replace(/^ws/, "http").replace(/\/$/, "")}/rtc/validate`;
  try {
    const headers = { authorization: `Bearer ${token.value.trim()}` };
    const answer = await fetch(path, { headers, signal: AbortSignal.timeout(ANSWER_MS) });
    return { status: answer.status, says: (await answer.text()).trim().slice(0, MOST_QUOTED) };
  } catch {
    return { status: null, says: "" };
  }
}

/** Joins by one way alone. */
async function tried(way: Way, url: string): Promise<Attempt> {
  const room = new Room({ singlePeerConnection: true });
  const { places, restore } = narrowed(way);
  let signalled = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  room.once(RoomEvent.SignalConnected, () => {
    signalled = true;
    timer = setTimeout(() => {
      if (places().length === 0) {
        void room.disconnect();
      }
    }, TOLD_MS);
  });
  try {
    await room.connect(url, token.value.trim(), {
      maxRetries: 0,
      websocketTimeout: ANSWER_MS,
      peerConnectionTimeout: CONNECT_MS,
      rtcConfig: { iceTransportPolicy: way.turn ? "relay" : "all" },
    });
  } catch {
    // What is wrong shows in how far it came.
  }
  const works = room.state === ConnectionState.Connected;
  const verdict = works ? "works" : signalled && places().length === 0 ? "absent" : "fails";
  clearTimeout(timer);
  restore();
  await room.disconnect();
  return { way, verdict, places: places(), signalled };
}

function told(attempt: Attempt, tookMs: number): string {
  switch (attempt.verdict) {
    case "works":
      return `works, after ${Math.round(tookMs)} ms`;
    case "fails":
      return `does not get through. ${remedy(attempt)}`;
    case "absent":
      return `the node does not offer it. ${remedy(attempt)}`;
  }
}

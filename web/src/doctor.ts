/** Tries each way to the node that serves this page, from this browser, one after the other. */

import { Room } from "livekit-client";
import { el } from "./element";
import { WAYS, type Way, narrowed } from "./ways";

const CONNECT_MS = 10_000;

interface Verdict {
  works: boolean;
  says: string;
}

const query = new URLSearchParams(location.search);
const url = query.get("url") ?? location.origin.replace(/^http/, "ws");
const rows = new Map<string, HTMLTableRowElement>();
const summary = el("p", { class: "doctor-summary", role: "status" });

const token = query.get("token");
document
  .getElementById("app")
  ?.replaceChildren(el("main", { class: "doctor" }, el("h1", {}, "Getting through"), ...content()));
if (token !== null) {
  void examine(token);
}

function content(): HTMLElement[] {
  if (token === null) {
    const command = el("code", {}, "fairlead token --room fairlead-doctor --identity browser");
    const field = el("input", { name: "token", required: true, "aria-label": "Token" });
    const form = el("form", { class: "doctor-form" }, field, el("button", {}, "Try each way"));
    return [el("p", {}, "This needs a token that may join a room, as from ", command, "."), form];
  }
  const lines = WAYS.map((way) => {
    const row = el("tr", {}, el("th", { scope: "row" }, way.name), el("td", {}, "waits"));
    rows.set(way.name, row);
    return row;
  });
  return [el("p", {}, url), el("table", { class: "doctor-ways" }, ...lines), summary];
}

async function examine(token: string): Promise<void> {
  const working: string[] = [];
  let fix = "";
  for (const way of WAYS) {
    show(way, "tries …", "");
    const verdict = await attempt(way, token);
    if (verdict.works) {
      working.push(way.name);
    } else if (fix === "") {
      fix = way.fix;
    }
    show(way, verdict.says, verdict.works ? "works" : "fails");
  }
  const through = working.length > 0 ? `Media gets through by ${working.join(", ")}.` : "Nothing gets through.";
  summary.textContent = fix === "" ? through : `${through} ${fix}`;
}

/** Joins by one way alone, with the client that apps use. */
async function attempt(way: Way, token: string): Promise<Verdict> {
  const room = new Room({ singlePeerConnection: true });
  const { offered, restore } = narrowed(way);
  const start = performance.now();
  try {
    await room.connect(url, token, {
      maxRetries: 0,
      peerConnectionTimeout: CONNECT_MS,
      rtcConfig: { iceTransportPolicy: way.relay ? "relay" : "all" },
    });
    return { works: true, says: `works, after ${Math.round(performance.now() - start)} ms` };
  } catch (error) {
    if (!offered()) {
      return { works: false, says: "the node does not offer it" };
    }
    const why = error instanceof Error ? error.message : String(error);
    return { works: false, says: `does not work: ${why}` };
  } finally {
    restore();
    await room.disconnect();
  }
}

function show(way: Way, text: string, verdict: string): void {
  const cell = rows.get(way.name)?.lastElementChild;
  if (cell) {
    cell.textContent = text;
    cell.className = verdict;
  }
}

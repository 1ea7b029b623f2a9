/** What was found on the way to a node, and the one sentence that sums it up. Decides; tries nothing. */

import type { Way } from "./ways";

export interface Attempt {
  way: Way;
  verdict: "works" | "fails" | "absent";
  /** Where the node has this way, as ADDRESS:PORT. */
  places: readonly string[];
  /** Whether signalling came up, which every way needs first. */
  signalled: boolean;
}

/** How the server answered over HTTP: `status` is null where it did not. */
export interface Answer {
  status: number | null;
  says: string;
}

/** Why no way needs to be tried; null if the server lets this token join. */
export function refusal(server: URL, { status, says }: Answer): string | null {
  const port = server.port || (server.protocol === "wss:" ? "443" : "80");
  if (status === 200) {
    return null;
  }
  if (status === null) {
    return `${server.hostname} does not answer at TCP port ${port}: start the node, let TCP to that port through, and see that the address${server.protocol === "wss:" ? " and its certificate are" : " is"} right.`;
  }
  if (status === 401 || status === 403) {
    return `The node answers but refuses the token (${says}): get a new link from \`fairlead doctor --link\`.`;
  }
  return `${server.host} answers with ${status}, not as a Fairlead node does: correct the address, or let the proxy before the node pass /rtc on.`;
}

/** Which way calls take from here, and what to fix. */
export function diagnosis(attempts: readonly Attempt[]): string {
  if (!attempts.some((one) => one.signalled)) {
    return "The node answers but no websocket opens: let every proxy between here and the node pass websockets on.";
  }
  const [best] = attempts;
  const taken = attempts.find((one) => one.verdict === "works");
  if (!taken) {
    const last = [...attempts].reverse().find((one) => one.places.length > 0);
    return `The node answers but no media gets through: let ${opening([best, last])} through, and see that node.addresses has the address that clients reach.`;
  }
  if (taken === best) {
    return `Calls get through by ${taken.way.name}, the best way; for this network nothing needs fixing.`;
  }
  const why = taken.way.turn ? "only relayed" : "but not over UDP";
  return `Calls get through by ${taken.way.name}, ${why}, and will stutter where packets are lost: let ${opening([best])} through.`;
}

/** What keeps one way from working; empty if nothing does. */
export function remedy({ way, verdict, places }: Attempt): string {
  if (verdict === "works") {
    return "";
  }
  if (verdict === "fails") {
    return `Let ${opening([{ way, places }])} through.`;
  }
  const given = way.carried === "TLS" ? "the front a certificate" : "the node a [turn] section with enabled = true";
  return way.turn ? `Give ${given}, if people behind strict firewalls are to come.` : "Give the node an address that clients reach.";
}

function opening(attempts: readonly (Pick<Attempt, "way" | "places"> | undefined)[]): string {
  const all = attempts.flatMap((one) =>
    (one?.places ?? []).map((place) => `${one?.way.carried === "UDP" ? "UDP" : "TCP"} to ${place}`),
  );
  const each = [...new Set(all)];
  return each.join(" or ") || "UDP to the node";
}

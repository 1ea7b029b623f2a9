/** The demo server's answers (docs/demo-api.md). */

export interface Region {
  region: string;
  label: string;
  latitude: number | null;
  longitude: number | null;
  state: "up" | "down";
}

export interface Link {
  a: string;
  b: string;
  state: "up" | "suspect" | "down" | "connecting";
  rtt_ms: number | null;
  loss: number | null;
  emulated: { cut: boolean };
}

export interface Path {
  from: string;
  to: string;
  via: string[];
  /** Relays of the path that stands by; null if there is none. */
  second: string[] | null;
  /** Of rooms that must stay in these; empty for all others. */
  regions: string[];
  rtt_ms: number | null;
  reason: string;
}

/** One thing that happened, to a link, a node or a path. */
export interface Happening {
  number: number;
  kind: "cut" | "healed" | "suspect" | "down" | "up" | "moved" | "lost" | "found" | "killed" | "started";
  a: string;
  b?: string;
  via?: string[];
  was?: string[];
  after_ms?: number;
}

export interface World {
  regions: Region[];
  links: Link[];
  paths: Path[];
  news: Happening[];
}

export interface Ticket {
  server_url: string;
  participant_token: string;
}

const PERIOD_MS = 400;

/** What went wrong, in a sentence that can be shown as it is. */
export class ServerError extends Error {}

/** The world as it is now. */
export async function getWorld(): Promise<World> {
  return ask<World>("/world");
}

/** Where to join and the token for it. */
export async function getTicket(wish: {
  room: string;
  identity: string;
  name: string;
  region: string;
}): Promise<Ticket> {
  return ask<Ticket>("/token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(wish),
  });
}

/** Cuts or mends a cable. */
export async function changeLink(wish: { a: string; b: string; cut?: true; heal?: true; for_s?: number }): Promise<void> {
  await ask("/link", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(wish),
  });
}

/** The path of every call between two regions. */
export function pathBetween(world: World, from: string, to: string): Path | undefined {
  return world.paths.find((one) => one.from === from && one.to === to && one.regions.length === 0);
}

/** What people call a region. */
export function labelOf(world: World, region: string): string {
  return world.regions.find((one) => one.region === region)?.label ?? region;
}

async function ask<T>(path: string, request?: RequestInit): Promise<T> {
  const answer = await fetch(path, request).catch(() => {
    throw new ServerError("The demo server does not answer. Is “make demo” still running?");
  });
  const body = (await answer.json().catch(() => ({}))) as T & { error?: string };
  if (!answer.ok) {
    throw new ServerError(body.error ?? `The demo server answered ${answer.status} to ${path}.`);
  }
  return body;
}

/** Calls back with the world, now and again and again, or with the error where it cannot be had. */
export function watchWorld(told: (world: World | ServerError) => void): void {
  const once = async () => {
    try {
      told(await getWorld());
    } catch (error) {
      told(error instanceof ServerError ? error : new ServerError(String(error)));
    }
    setTimeout(() => void once(), PERIOD_MS);
  };
  void once();
}

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
  state: "up" | "down" | "connecting";
  rtt_ms: number | null;
  loss: number | null;
}

export interface Path {
  from: string;
  to: string;
  via: string[];
  rtt_ms: number | null;
  reason: string;
}

export interface World {
  regions: Region[];
  links: Link[];
  paths: Path[];
}

export interface Ticket {
  server_url: string;
  participant_token: string;
}

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

/** Calls back with the world once a second, or with the error where it cannot be had. */
export function watchWorld(told: (world: World | ServerError) => void): void {
  const once = async () => {
    try {
      told(await getWorld());
    } catch (error) {
      told(error instanceof ServerError ? error : new ServerError(String(error)));
    }
    setTimeout(() => void once(), 1_000);
  };
  void once();
}

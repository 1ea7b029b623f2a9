/** Someone for a visitor who is alone: a guide who joins at the other edge and talks without end. */

import { Track } from "livekit-client";
import { Meter } from "./measure";
import { type Role, other } from "./role";
import { Session, type Told } from "./session";

/** A second participant in this page; it hears nobody. */
export class Companion {
  private readonly session: Session;

  constructor(visitor: Role, room: string, trouble: (sentence: string) => void) {
    const silent = () => undefined;
    const told: Told = {
      status: silent,
      trouble,
      ended: trouble,
      remote: silent,
      remoteMuted: silent,
      speaking: silent,
      soundBlocked: silent,
    };
    const role = other(visitor);
    this.session = new Session(role, room, `${role.id}-${crypto.randomUUID().slice(0, 4)}`, told);
  }

  /** Joins near the other edge and begins to talk. */
  async start(): Promise<void> {
    if (await this.session.join()) {
      // Answers pings, so that the visitor sees the round trip.
      new Meter(this.session.room, () => ({ sent: undefined, received: [] }), () => undefined);
      await this.session.use(Track.Source.Microphone, "generated");
      await this.session.use(Track.Source.Camera, "generated");
    }
  }

  async stop(): Promise<void> {
    await this.session.leave();
  }
}

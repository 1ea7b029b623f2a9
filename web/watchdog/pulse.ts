/** Whether anything still comes over a connection: what comes by itself is enough, and where nothing does it is
 * asked for an answer. */

/** Who sent so lately is not asked. */
const QUIET_MS = 200;
/** Beside a round trip an answer may take so long: SCTP may hold an acknowledgement for 200 ms (RFC 9260 section 6.2). */
const ANSWER_MS = 250;
/** Between questions that were answered, and while there is none. */
const ASK_EACH_MS = { answered: 1_000, unanswered: 100 };
/** A page that was not run for so long knows nothing of the time. */
const MAX_STEP_MS = 350;

export type Beat = "fine" | "ask" | "stopped";

export class Pulse {
  private bytes: number | undefined;
  private lookedAt = 0;
  private cameAt = 0;
  private askedAt = Number.NEGATIVE_INFINITY;
  /** The first question that has no answer. */
  private asks: number | undefined;

  /** What was is not comparable to what follows. */
  forget(): void {
    this.bytes = undefined;
    this.asks = undefined;
  }

  /** Looks at how many bytes came by now; times are in ms. "ask": something is to be sent that is answered. */
  look(now: number, bytes: number, roundTrip: number): Beat {
    const slept = now - this.lookedAt > MAX_STEP_MS;
    this.lookedAt = now;
    if (bytes !== this.bytes || slept) {
      this.bytes = bytes;
      this.cameAt = now;
      this.asks = undefined;
      return "fine";
    }
    if (now - this.cameAt < QUIET_MS) {
      return "fine";
    }
    if (this.asks !== undefined && now - this.asks >= roundTrip + ANSWER_MS) {
      return "stopped";
    }
    const { answered, unanswered } = ASK_EACH_MS;
    if (now - this.askedAt < (this.asks === undefined ? answered : unanswered)) {
      return "fine";
    }
    this.askedAt = now;
    this.asks ??= now;
    return "ask";
  }
}

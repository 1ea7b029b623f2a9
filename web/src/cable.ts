/** The cable that this call hangs on, a button that cuts it, and the proof that nothing is missed. */

import { el } from "./element";
import { icon } from "./icon";
import { type Path, ServerError, type World, changeLink, labelOf } from "./server";

/** What this listener's browser has counted of the sound since it came. */
export interface Sound {
  /** Audio frames (20 ms each) that never came. */
  lost: number;
  /** Milliseconds that the browser made up, to bridge what was lost or late. */
  concealedMs: number;
}

/** A cable stays cut for so long at most, so that the next visitor finds it whole. */
const CUT_FOR_S = 120;

type Ends = [a: string, b: string];

/** The big button, and the counters since it was last pressed. */
export class Cable {
  readonly element: HTMLElement;
  private readonly cut = el("button", { class: "cable-cut", type: "button", disabled: true, click: () => void this.press() });
  private readonly mend = el("button", { class: "cable-mend", type: "button", hidden: true, click: () => void this.heal() });
  private readonly lost = counter("frames of sound lost");
  private readonly concealed = counter("made up by your browser");
  private readonly since = el("p", { class: "cable-since" }, "Since you joined");
  private target: Ends | undefined;
  private severed: Ends[] = [];
  private onPath = false;
  private world: World | undefined;
  private now: Sound | undefined;
  private from: Sound | undefined;

  constructor(private readonly trouble: (sentence: string) => void) {
    this.element = el(
      "div",
      { class: "cable" },
      el("div", { class: "cable-buttons" }, this.cut, this.mend),
      el("div", { class: "cable-proof", role: "group", "aria-label": "What reached your ear" }, this.since, this.lost.element, this.concealed.element),
    );
    this.label();
  }

  /** Audio frames lost since the last cut, null before any sound came. */
  get framesLost(): number | null {
    return this.now && this.from ? Math.max(0, this.now.lost - this.from.lost) : null;
  }

  /** `path` is the one by which the other's voice comes. */
  show(world: World, path: Path | undefined): void {
    this.world = world;
    this.severed = world.links.filter((link) => link.emulated.cut).map((link): Ends => [link.a, link.b]);
    const stops = path ? [path.from, ...path.via, path.to] : [];
    const hops = stops.slice(1).map((stop, index): Ends => [stops[index] ?? "", stop]);
    this.onPath = hops.length > 0;
    this.target = hops.find((hop) => !this.severed.some((one) => same(one, hop)));
    this.label();
  }

  /** The counters of the sound that arrives; null when none does. */
  hear(sound: Sound | null): void {
    if (!sound || (this.now && sound.lost < this.now.lost)) {
      this.from = undefined; // another track: its counters start again
    }
    this.now = sound ?? undefined;
    this.from ??= this.now;
    this.count();
  }

  private label(): void {
    const { world, target, severed } = this;
    this.cut.disabled = !target;
    const name = world && target ? between(world, target) : "";
    this.cut.replaceChildren(icon("scissors"), el("span", {}, name ? "Cut this cable" : this.onPath ? "This cable is cut" : "No cable to cut", el("small", {}, name)));
    this.mend.hidden = severed.length === 0;
    const what = world && severed[0] && severed.length === 1 ? between(world, severed[0]) : `all ${severed.length} cables`;
    this.mend.replaceChildren(icon("mend"), `Mend ${what}`);
  }

  private count(): void {
    const { now, from } = this;
    this.lost.set(now && from ? String(this.framesLost) : null);
    this.concealed.set(now && from ? `${Math.max(0, Math.round(now.concealedMs - from.concealedMs))} ms` : null);
  }

  private async press(): Promise<void> {
    const target = this.target;
    if (target && this.world) {
      this.from = this.now;
      this.since.textContent = `Since you cut ${between(this.world, target)}`;
      this.count();
      await this.change(target, { cut: true, for_s: CUT_FOR_S });
    }
  }

  private async heal(): Promise<void> {
    for (const ends of this.severed) {
      await this.change(ends, { heal: true });
    }
  }

  private async change([a, b]: Ends, wish: { cut?: true; heal?: true; for_s?: number }): Promise<void> {
    this.cut.disabled = true;
    try {
      await changeLink({ a, b, ...wish });
    } catch (error) {
      this.trouble(error instanceof ServerError ? error.message : String(error));
    }
  }
}

function same(one: Ends, other: Ends): boolean {
  return (one[0] === other[0] && one[1] === other[1]) || (one[0] === other[1] && one[1] === other[0]);
}

function between(world: World, [a, b]: Ends): string {
  return `${labelOf(world, a)} – ${labelOf(world, b)}`;
}

function counter(name: string): { element: HTMLElement; set: (value: string | null) => void } {
  const value = el("strong", { class: "cable-count" }, "—");
  return {
    element: el("p", { class: "cable-counter" }, value, el("span", {}, name)),
    set: (text) => {
      value.textContent = text ?? "—";
    },
  };
}

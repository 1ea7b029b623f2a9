/** What happened to the world, in plain words, newest first. */

import { el } from "./element";
import { type Happening, type World, labelOf } from "./server";

const SHOWN = 6;

/** A list that grows as the world tells its news. */
export class Ticker {
  readonly element = el("ol", { class: "ticker", "aria-live": "polite", "aria-label": "What happened" });
  private last: number | undefined;

  /** `here` and `there` are the regions of the call; what concerns neither it nor a cable is left out. */
  constructor(
    private readonly here: string,
    private readonly there: string,
    private readonly framesLost: () => number | null,
  ) {
    this.element.append(el("li", { class: "ticker-empty" }, "Nothing happened yet. Cut a cable."));
  }

  /** Adds what is new. */
  show(world: World): void {
    const news = world.news;
    const last = news.at(-1)?.number ?? 0;
    const before = this.last;
    this.last = last;
    if (before === undefined || last < before) {
      return; // what happened before one came is no news
    }
    for (const one of news) {
      const sentence = one.number > before ? this.sentence(world, one) : undefined;
      if (sentence) {
        this.add(one, sentence);
      }
    }
  }

  private add(one: Happening, sentence: string): void {
    this.element.querySelector(".ticker-empty")?.remove();
    const after = one.after_ms === undefined ? "" : `${one.after_ms} ms`;
    const item = el("li", { class: `ticker-item ticker-${one.kind}` }, el("span", { class: "ticker-after" }, after), el("span", {}, sentence));
    this.element.prepend(item);
    while (this.element.children.length > SHOWN) {
      this.element.lastElementChild?.remove();
    }
  }

  private sentence(world: World, { kind, a, b, via, was }: Happening): string | undefined {
    const [from, to] = [labelOf(world, a), b === undefined ? "" : labelOf(world, b)];
    const cable = `${from} – ${to}`;
    switch (kind) {
      case "cut":
        return `${cable} was cut.`;
      case "healed":
        return `${cable} was mended. It must prove itself before it is used again.`;
      case "suspect":
        return `${cable} fell silent: all that it carries is sent another way as well.`;
      case "down":
        return `${cable} is given up.`;
      case "up":
        return `${cable} works again.`;
      case "killed":
        return `The node in ${from} died.`;
      case "started":
        return `The node in ${from} runs again.`;
      default:
        return this.ofThisCall(a, b) ? this.ofPath(world, kind, via ?? [], was ?? []) : undefined;
    }
  }

  private ofPath(world: World, kind: string, via: string[], was: string[]): string {
    const lost = this.framesLost();
    const proof = lost === null ? "" : ` Frames lost: ${lost}.`;
    const words = (relays: string[]) => (relays.length > 0 ? `over ${relays.map((one) => labelOf(world, one)).join(" and ")}` : "straight");
    switch (kind) {
      case "lost":
        return "No way is left for your call.";
      case "found":
        return `Your call has a way again, ${words(via)}.`;
      default:
        return `Your call moved: it went ${words(was)}, now it goes ${words(via)}.${proof}`;
    }
  }

  private ofThisCall(a: string, b: string | undefined): boolean {
    return a === this.there && b === this.here;
  }
}

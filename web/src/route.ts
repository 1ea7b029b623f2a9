/** The path of the call in words: each stop, and the milliseconds between them. */

import { el } from "./element";
import type { Link, Path, World } from "./server";

/** A list of stops and hops. */
export class RouteLine {
  readonly element = el("ol", { class: "route", "aria-label": "The path that this call takes" });

  /** Shows the path, or says that there is none. */
  show(world: World, path: Path | undefined): void {
    if (!path) {
      this.element.replaceChildren(
        el("li", { class: "route-none" }, "No path joins the two at the moment."),
      );
      return;
    }
    const stops = [path.from, ...path.via, path.to];
    const items = stops.flatMap((stop, index) => {
      const label = world.regions.find((one) => one.region === stop)?.label ?? stop;
      const here = el("li", { class: "route-stop" }, label);
      const next = stops[index + 1];
      return next === undefined ? [here] : [here, hop(linkOf(world, stop, next))];
    });
    this.element.replaceChildren(...items);
  }
}

function linkOf(world: World, a: string, b: string): Link | undefined {
  return world.links.find((one) => (one.a === a && one.b === b) || (one.a === b && one.b === a));
}

function hop(link: Link | undefined): HTMLElement {
  const rtt = link?.rtt_ms;
  const text = rtt === null || rtt === undefined ? "…" : `${Math.round(rtt)} ms`;
  const lossy = link?.loss && link.loss >= 0.005 ? ` · ${Math.round(link.loss * 100)} % lost` : "";
  return el("li", { class: "route-hop" }, el("span", {}, text + lossy));
}

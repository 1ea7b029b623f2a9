/** The map: regions, the links between them and the path that this call takes. */

import { el, svg } from "./element";
import { land } from "./land";
import type { Link, Path, Region, World } from "./server";

const WIDTH = 560;
const HEIGHT = 250;
const WEST = -128;
const EAST = 156;
const NORTH = 72;
const SOUTH = -48;
const CROWDED = 60;

interface Point {
  x: number;
  y: number;
}

/** A picture of the world with a sentence for those who do not see it. */
export class WorldMap {
  readonly element: HTMLElement;
  private readonly drawing = svg("g");
  private readonly title = svg("title", {}, "The regions of this world");
  private drawn = "";

  constructor() {
    const dots = land().map(({ latitude, longitude }) => {
      const { x, y } = project(latitude, longitude);
      return svg("circle", { cx: x, cy: y, r: 2.1 });
    });
    const picture = svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "map", role: "img" },
      this.title,
      svg("g", { class: "map-land" }, ...dots),
      this.drawing,
    );
    this.element = el("div", { class: "map-frame" }, picture);
  }

  /** Draws the world, with a path where there is one. */
  show(world: World, path: Path | undefined): void {
    const description = describe(world, path);
    const state = JSON.stringify([world.regions, world.links.map(({ a, b, state }) => [a, b, state]), path?.via, description]);
    if (state === this.drawn) {
      return;
    }
    this.drawn = state;
    this.title.textContent = description;
    const places = new Map(world.regions.map((region) => [region.region, place(region)]));
    const stops = path ? [path.from, ...path.via, path.to] : [];
    this.drawing.replaceChildren(
      ...world.links.map((link) => line(link, places)),
      ...stops.slice(1).map((stop, index) => hop(places.get(stops[index] ?? ""), places.get(stop))),
      ...world.regions.map((region) => dot(region, places, stops)),
    );
  }
}

function describe(world: World, path: Path | undefined): string {
  const names = world.regions.map((region) => region.label).join(", ");
  return path ? `Regions: ${names}. This call: ${path.reason}.` : `Regions: ${names}.`;
}

function project(latitude: number, longitude: number): Point {
  const x = ((longitude - WEST) / (EAST - WEST)) * WIDTH;
  const y = ((NORTH - latitude) / (NORTH - SOUTH)) * HEIGHT;
  return { x, y };
}

function place(region: Region): Point {
  return project(region.latitude ?? SOUTH + 6, region.longitude ?? 0);
}

function arc(from: Point, to: Point): string {
  const lift = Math.min(46, Math.hypot(to.x - from.x, to.y - from.y) * 0.16);
  const [left, right] = from.x <= to.x ? [from, to] : [to, from];
  const middle = { x: (left.x + right.x) / 2, y: (left.y + right.y) / 2 - lift };
  return `M${from.x} ${from.y}Q${middle.x} ${middle.y} ${to.x} ${to.y}`;
}

function line(link: Link, places: Map<string, Point>): SVGElement {
  const [a, b] = [places.get(link.a), places.get(link.b)];
  return svg("path", { d: a && b ? arc(a, b) : "", class: `map-link map-link-${link.state}` });
}

function hop(from: Point | undefined, to: Point | undefined): SVGElement {
  const d = from && to ? arc(from, to) : "";
  return svg("g", {}, svg("path", { d, class: "map-path" }), svg("path", { d, class: "map-flow" }));
}

function dot(region: Region, places: Map<string, Point>, stops: string[]): SVGElement {
  const at = places.get(region.region) ?? { x: 0, y: 0 };
  const used = stops.includes(region.region) ? " map-region-used" : "";
  const neighbours = [...places.values()].filter(
    (one) => one !== at && Math.hypot(one.x - at.x, one.y - at.y) < CROWDED,
  );
  const above = neighbours.every((one) => one.y >= at.y);
  const text = svg(
    "text",
    { x: at.x, y: above ? at.y - 11 : at.y + 21, "text-anchor": anchor(at) },
    region.label,
  );
  return svg(
    "g",
    { class: `map-region map-region-${region.state}${used}` },
    svg("circle", { cx: at.x, cy: at.y, r: used ? 5.5 : 4 }),
    text,
  );
}

function anchor(at: Point): string {
  return at.x > WIDTH - 60 ? "end" : at.x < 60 ? "start" : "middle";
}

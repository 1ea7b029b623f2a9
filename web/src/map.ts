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
    const state = JSON.stringify([world.regions, world.links.map(({ a, b, state, emulated }) => [a, b, state, emulated.cut]), path?.via, path?.second, description]);
    if (state === this.drawn) {
      return;
    }
    this.drawn = state;
    this.title.textContent = description;
    const places = new Map(world.regions.map((region) => [region.region, place(region)]));
    const stops = path ? [path.from, ...path.via, path.to] : [];
    const spare = path?.second ? [path.from, ...path.second, path.to] : [];
    this.drawing.replaceChildren(
      ...world.links.map((link) => line(link, places)),
      ...hops(spare, places).map((d) => svg("path", { d, class: "map-spare" })),
      ...hops(stops, places).map((d) => svg("g", {}, svg("path", { d, class: "map-path" }), svg("path", { d, class: "map-flow" }))),
      ...world.links.filter((link) => link.emulated.cut).map((link) => wound(link, places)),
      ...world.regions.map((region) => dot(region, places, stops, spare)),
    );
  }
}

/** What the lines of the map mean. */
export function legend(): HTMLElement {
  const entry = (kind: string, text: string) => el("li", {}, el("span", { class: `legend-line legend-${kind}` }), text);
  return el(
    "ul",
    { class: "legend", "aria-label": "What the lines mean" },
    entry("path", "the call"),
    entry("spare", "its second path"),
    entry("suspect", "suspect"),
    entry("down", "down"),
  );
}

function hops(stops: string[], places: Map<string, Point>): string[] {
  return stops.slice(1).flatMap((stop, index) => {
    const [from, to] = [places.get(stops[index] ?? ""), places.get(stop)];
    return from && to ? [arc(from, to)] : [];
  });
}

/** A cross where a cable is cut. */
function wound(link: Link, places: Map<string, Point>): SVGElement {
  const [a, b] = [places.get(link.a), places.get(link.b)];
  const { x, y } = a && b ? top(a, b) : { x: 0, y: 0 };
  return svg("path", { d: `M${x - 6} ${y - 6}l12 12m0 -12l-12 12`, class: "map-wound" });
}

function describe(world: World, path: Path | undefined): string {
  const names = world.regions.map((region) => region.label).join(", ");
  return path ? `Regions: ${names}. This call: ${path.reason}` : `Regions: ${names}.`;
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
  const middle = { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 - lift(from, to) };
  return `M${from.x} ${from.y}Q${middle.x} ${middle.y} ${to.x} ${to.y}`;
}

function lift(from: Point, to: Point): number {
  return Math.min(46, Math.hypot(to.x - from.x, to.y - from.y) * 0.16);
}

/** Where an arc is half done. */
function top(from: Point, to: Point): Point {
  return { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 - lift(from, to) / 2 };
}

function line(link: Link, places: Map<string, Point>): SVGElement {
  const [a, b] = [places.get(link.a), places.get(link.b)];
  return svg("path", { d: a && b ? arc(a, b) : "", class: `map-link map-link-${link.state}` });
}

function dot(region: Region, places: Map<string, Point>, stops: string[], spare: string[]): SVGElement {
  const at = places.get(region.region) ?? { x: 0, y: 0 };
  const relays = stops.slice(1, -1).includes(region.region);
  const used = stops.includes(region.region) ? " map-region-used" : spare.includes(region.region) ? " map-region-spare" : "";
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
    ...(relays ? [svg("circle", { cx: at.x, cy: at.y, r: 10, class: "map-relay" })] : []),
    svg("circle", { cx: at.x, cy: at.y, r: used ? 5.5 : 4 }),
    text,
  );
}

function anchor(at: Point): string {
  return at.x > WIDTH - 60 ? "end" : at.x < 60 ? "start" : "middle";
}

/** The first page: who do you want to be? */

import { el } from "./element";
import { mark } from "./icon";
import { WorldMap } from "./map";
import { GUIDE, type Role, SHOPPER } from "./role";
import { RouteLine } from "./route";
import { ServerError, pathBetween, watchWorld } from "./server";

const map = new WorldMap();
const route = new RouteLine();
const trouble = el("p", { class: "landing-trouble", role: "status" });

document.getElementById("app")?.replaceChildren(
  el(
    "div",
    { class: "landing" },
    el("header", { class: "landing-head" }, el("p", { class: "brand" }, mark(), "Fairlead"), el("h1", {}, "A call from Jakarta to Frankfurt"), el("p", { class: "lead" }, "Two people, two edges, one mesh between them. Each joins at the edge nearby; the long way between the edges is emulated on this machine.")),
    el("main", { class: "landing-main" }, el("div", { class: "choices" }, choice(SHOPPER), choice(GUIDE)), el("p", { class: "together" }, el("a", { href: "call?role=shopper&source=generated&room=alone", target: "_blank" }, "Alone? Let a guide talk to you from Frankfurt, and cut the cable"), " · ", el("a", { href: "pair" }, "See both, side by side")), el("section", { class: "panel", "aria-labelledby": "world-title" }, el("h2", { id: "world-title" }, "The world as it is now"), map.element, route.element, trouble)),
  ),
);

watchWorld((world) => {
  trouble.textContent = world instanceof ServerError ? world.message : "";
  if (!(world instanceof ServerError)) {
    const path = pathBetween(world, GUIDE.region, SHOPPER.region);
    map.show(world, path);
    route.show(world, path);
  }
});

function choice(role: Role): HTMLElement {
  return el(
    "a",
    { class: `choice choice-${role.id}`, href: `call?role=${role.id}`, target: "_blank" },
    el("span", { class: "choice-name" }, role.name),
    el("span", { class: "choice-place" }, `near ${role.place}`),
    el("span", { class: "choice-greeting" }, role.greeting),
    el("span", { class: "choice-go" }, `Join as ${role.name.toLowerCase()}`),
  );
}

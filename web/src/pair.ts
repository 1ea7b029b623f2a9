/** Both people side by side in one window, each in a frame of its own. */

import { el } from "./element";
import { GUIDE, type Role, SHOPPER } from "./role";

const room = new URLSearchParams(location.search).get("room") ?? "demo";

document.getElementById("app")?.replaceChildren(
  el("main", { class: "pair" }, frame(SHOPPER), frame(GUIDE)),
);

function frame(role: Role): HTMLElement {
  const query = new URLSearchParams({ role: role.id, room, source: "generated", silent: "" });
  return el("iframe", {
    class: "pair-frame",
    title: `${role.name} near ${role.place}`,
    src: `call?${query.toString()}`,
    allow: "camera; microphone; autoplay",
  });
}

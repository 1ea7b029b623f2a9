/** The row of buttons under the picture. */

import { el } from "./element";
import { type IconName, icon } from "./icon";

export interface Toggle {
  element: HTMLButtonElement;
  set: (on: boolean) => void;
}

interface Look {
  on: [IconName, string];
  off: [IconName, string];
  /** What the button says of itself to a screen reader; its state is said beside it. */
  label: string;
}

/** A button with two states. `changed` gets the wished state; the look follows `set`. */
export function toggle(look: Look, initial: boolean, changed: (on: boolean) => void): Toggle {
  let now = initial;
  const click = () => changed(!now);
  const element = el("button", { class: "control", type: "button", click });
  const set = (on: boolean) => {
    now = on;
    const [name, text] = on ? look.on : look.off;
    element.replaceChildren(icon(name), el("span", { class: "control-text" }, text));
    element.setAttribute("aria-pressed", String(on));
    element.setAttribute("aria-label", `${look.label}: ${text}`);
    element.title = text;
  };
  set(initial);
  return { element, set };
}

/** The button that ends the call. */
export function leaveButton(click: () => void): HTMLButtonElement {
  const text = el("span", { class: "control-text" }, "Leave");
  return el("button", { class: "control control-leave", type: "button", click }, icon("leave"), text);
}

/** The icons of the page: 24 x 24 line drawings in the colour of the text. */

import { svg } from "./element";

const PATHS = {
  scissors: "M8.5 7.5a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0Zm0 9a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0ZM8.2 8.8 20 17M8.2 15.2 20 7",
  mend: "M3 12h4a3 3 0 0 1 3 3v0a3 3 0 0 0 3 3h8M3 6h8a3 3 0 0 1 3 3v0a3 3 0 0 0 3 3h4",
  microphone: "M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3Zm-6 8a6 6 0 0 0 12 0M12 17v4m-3 0h6",
  "microphone-off":
    "M15 9.4V6a3 3 0 0 0-5.7-1.3M9 9v2a3 3 0 0 0 4.6 2.5M6 11a6 6 0 0 0 9.5 4.9M18 11a6 6 0 0 1-.6 2.6M12 17v4m-3 0h6M4 4l16 16",
  camera: "M4 7h10a1 1 0 0 1 1 1v8a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V8a1 1 0 0 1 1-1Zm11 4 6-3v8l-6-3",
  "camera-off": "M9 7h5a1 1 0 0 1 1 1v3l6-3v8l-3-1.5M15 15v1a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V8a1 1 0 0 1 1-1M4 3l16 18",
  picture: "M4 5h16v14H4ZM4 16l5-5 4 4 3-3 4 4M15.5 9.5h.01",
  tone: "M3 12h2l2-6 3 13 3-16 3 13 2-4h3",
  speaker: "M4 9v6h4l5 4V5L8 9Zm12 0a4 4 0 0 1 0 6m2.5-8.5a8 8 0 0 1 0 11",
  "speaker-off": "M4 9v6h4l5 4V5L8 9Zm12 1 5 5m0-5-5 5",
  leave: "M3.5 14.5c5-4.7 12-4.7 17 0l-2 2.5-3.5-1.4v-2.4a11 11 0 0 0-6 0v2.4L5.5 17Z",
  send: "M4 12 20 4l-4 16-4-6Z",
} as const;

export type IconName = keyof typeof PATHS;

/** An icon; screen readers skip it, so the control beside it needs a label. */
export function icon(name: IconName): SVGSVGElement {
  return svg(
    "svg",
    { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true", focusable: "false" },
    svg("path", { d: PATHS[name] }),
  );
}

/** The mark of the project: a line through a ring. */
export function mark(): SVGSVGElement {
  return svg(
    "svg",
    { viewBox: "0 0 32 32", class: "mark", "aria-hidden": "true", focusable: "false" },
    svg("circle", { cx: 16, cy: 16, r: 9, class: "mark-ring" }),
    svg("path", { d: "M1 23c7 0 8-7 15-7s8-7 15-7", class: "mark-line" }),
  );
}

/** A generated picture, for those without a camera: the sea off Jakarta, the roofs of Frankfurt. */

import type { Role } from "./role";

const WIDTH = 640;
const HEIGHT = 360;
const FRAME_RATE = 24;

type Pen = CanvasRenderingContext2D;

export interface Scenery {
  track: MediaStreamTrack;
  stop: () => void;
}

/** Starts painting; the track carries the picture. */
export function paint(role: Role): Scenery {
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const pen = canvas.getContext("2d", { alpha: false });
  if (!pen) {
    throw new Error("this browser draws no canvas");
  }
  const scene = role.id === "shopper" ? sea : town;
  const frame = () => {
    const seconds = performance.now() / 1_000;
    scene(pen, seconds);
    caption(pen, role);
  };
  frame();
  const timer = setInterval(frame, 1_000 / FRAME_RATE);
  const [track] = canvas.captureStream(FRAME_RATE).getVideoTracks();
  if (!track) {
    throw new Error("this browser captures no canvas");
  }
  return { track, stop: () => (clearInterval(timer), track.stop()) };
}

function sky(pen: Pen, stops: readonly [number, string][]): void {
  const gradient = pen.createLinearGradient(0, 0, 0, HEIGHT);
  stops.forEach(([at, colour]) => gradient.addColorStop(at, colour));
  pen.fillStyle = gradient;
  pen.fillRect(0, 0, WIDTH, HEIGHT);
}

function disc(pen: Pen, x: number, y: number, radius: number, colour: string): void {
  pen.fillStyle = colour;
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fill();
}

function sea(pen: Pen, t: number): void {
  sky(pen, [[0, "#27406b"], [0.35, "#b5566f"], [0.55, "#f0945c"], [0.62, "#f9c784"]]);
  disc(pen, 210, 205, 62, "rgb(255 236 190 / 35%)");
  disc(pen, 210, 205, 44, "#fff0c8");
  const layers = [["#8c5a74", 214, 5, 0.5], ["#5b4a74", 236, 8, 0.8], ["#35406b", 266, 11, 1.1]] as const;
  layers.forEach(([colour, level, height, speed], index) => {
    wave(pen, colour, level, height, t * speed + index);
    if (index === 1) {
      boat(pen, 430 + 24 * Math.sin(t / 6), 240 + 5 * Math.sin(t * 0.8), 0.05 * Math.sin(t * 0.9));
    }
  });
  wave(pen, "#1f2d54", 304, 12, t * 1.4 + 4);
}

function wave(pen: Pen, colour: string, level: number, height: number, phase: number): void {
  pen.fillStyle = colour;
  pen.beginPath();
  pen.moveTo(0, HEIGHT);
  for (let x = 0; x <= WIDTH; x += 10) {
    const swell = Math.sin(x / 58 + phase) + 0.5 * Math.sin(x / 23 - phase * 1.3);
    pen.lineTo(x, level + height * 0.6 * swell);
  }
  pen.lineTo(WIDTH, HEIGHT);
  pen.fill();
}

function boat(pen: Pen, x: number, y: number, tilt: number): void {
  pen.save();
  pen.translate(x, y);
  pen.rotate(tilt);
  polygon(pen, "#fdf3e1", [[4, -8], [4, -118], [70, -14]]);
  polygon(pen, "#f2b872", [[-4, -12], [-4, -96], [-46, -16]]);
  polygon(pen, "#2b2140", [[-58, 0], [70, 0], [50, 22], [-40, 22]]);
  pen.restore();
}

function polygon(pen: Pen, colour: string, points: readonly [number, number][]): void {
  pen.fillStyle = colour;
  pen.beginPath();
  points.forEach(([x, y]) => pen.lineTo(x, y));
  pen.closePath();
  pen.fill();
}

function town(pen: Pen, t: number): void {
  sky(pen, [[0, "#0e2a47"], [0.5, "#2b6777"], [0.8, "#8fc1b5"]]);
  for (let i = 0; i < 40; i += 1) {
    const shine = 0.35 + 0.35 * Math.sin(t * 1.5 + i * 2.4);
    disc(pen, (i * 157) % WIDTH, (i * 71) % 150, 1.3, `rgb(255 255 255 / ${shine})`);
  }
  disc(pen, 500, 80, 30, "#f7efd2");
  disc(pen, 487, 73, 27, "#174059");
  cloud(pen, ((t * 14) % (WIDTH + 240)) - 120, 120);
  cloud(pen, ((t * 9 + 380) % (WIDTH + 240)) - 120, 74);
  houses(pen, t, "#1c4a5b", [[0, 96, 80], [96, 150, 54], [150, 210, 118], [250, 330, 70], [430, 500, 132], [520, 640, 88]]);
  houses(pen, t, "#12303f", [[30, 120, 60], [180, 260, 96], [300, 372, 54], [372, 430, 158], [500, 560, 62], [590, 640, 110]]);
  pen.fillStyle = "#0b212c";
  pen.fillRect(0, 330, WIDTH, 30);
  const tram = ((t * 70) % (WIDTH + 220)) - 200;
  pen.fillStyle = "#e06a3c";
  pen.fillRect(tram, 310, 150, 24);
  pen.fillStyle = "#ffe9b8";
  for (let x = 10; x < 140; x += 24) {
    pen.fillRect(tram + x, 314, 15, 9);
  }
}

function cloud(pen: Pen, x: number, y: number): void {
  [[0, 0, 18], [22, -8, 24], [50, -2, 20], [70, 4, 14]].forEach(([dx = 0, dy = 0, size = 0]) =>
    disc(pen, x + dx, y + dy, size, "rgb(255 255 255 / 18%)"),
  );
}

function houses(
  pen: Pen,
  t: number,
  colour: string,
  blocks: readonly [left: number, right: number, height: number][],
): void {
  blocks.forEach(([left, right, height], block) => {
    const top = 332 - height;
    polygon(pen, colour, [[left, 332], [left, top], [(left + right) / 2, top - 22], [right, top], [right, 332]]);
    for (let y = top + 12; y < 316; y += 22) {
      for (let x = left + 12; x < right - 14; x += 20) {
        const lit = Math.sin(x * 12.9 + y * 78.2 + block + Math.floor(t / 4 + x)) > 0.35;
        pen.fillStyle = lit ? "#ffd98a" : "rgb(255 255 255 / 8%)";
        pen.fillRect(x, y, 9, 12);
      }
    }
  });
}

function caption(pen: Pen, role: Role): void {
  const now = new Date();
  const tenth = Math.floor(now.getMilliseconds() / 100);
  const clock = `${now.toLocaleTimeString("en-GB")}.${tenth}`;
  pen.font = "600 15px system-ui, sans-serif";
  pen.textBaseline = "middle";
  const text = `${role.place} · ${clock}`;
  pen.fillStyle = "rgb(0 0 0 / 45%)";
  pen.beginPath();
  pen.roundRect(14, 14, pen.measureText(text).width + 24, 30, 15);
  pen.fill();
  pen.fillStyle = "#ffffff";
  pen.fillText(text, 26, 30);
}

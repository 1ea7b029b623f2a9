import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const { outputFiles } = await esbuild.build({
  entryPoints: [fileURLToPath(new URL("pulse.ts", import.meta.url))],
  format: "esm",
  write: false,
});
const module = Buffer.from(outputFiles[0].contents).toString("base64");
const { Pulse } = await import(`data:text/javascript;base64,${module}`);

const LOOK_MS = 100;
const ROUND_TRIP_MS = 60;

/** Looks each 100 ms, from one time to another; gives what was found, when it was not "fine". */
function look(pulse, from, to, bytes) {
  const found = [];
  for (let now = from; now < to; now += LOOK_MS) {
    const beat = pulse.look(now, bytes(now), ROUND_TRIP_MS);
    if (beat !== "fine") {
      found.push([now, beat]);
    }
  }
  return found;
}

test("who gets something all the time asks nothing", () => {
  assert.deepEqual(look(new Pulse(), 1_000, 9_000, (now) => now), []);
});

test("where nothing comes it is asked, and has stopped when no answer came", () => {
  const found = look(new Pulse(), 1_000, 9_000, (now) => Math.min(now, 5_000));
  assert.deepEqual(found.slice(0, 5), [
    [5_200, "ask"],
    [5_300, "ask"],
    [5_400, "ask"],
    [5_500, "ask"],
    [5_600, "stopped"],
  ]);
  assert.ok(found.slice(5).every(([, beat]) => beat === "stopped"));
});

test("a connection on which nobody says anything answers, and is asked each second", () => {
  let asked = 0;
  const pulse = new Pulse();
  const found = [];
  for (let now = 1_000; now < 11_000; now += LOOK_MS) {
    const beat = pulse.look(now, asked, ROUND_TRIP_MS);
    if (beat !== "fine") {
      found.push([now, beat]);
      asked += 1;
    }
  }
  assert.ok(found.every(([, beat]) => beat === "ask"));
  assert.ok(found.length >= 9 && found.length <= 11, `${found.length} times`);
});

test("a far connection has time to answer", () => {
  const pulse = new Pulse();
  const beats = Array.from({ length: 14 }, (_, at) => pulse.look(1_000 + at * LOOK_MS, 7, 800));
  assert.equal(beats.indexOf("stopped"), 13);
});

test("a page that slept does not take its sleep for a silence", () => {
  const pulse = new Pulse();
  assert.deepEqual(look(pulse, 1_000, 3_000, (now) => now), []);
  assert.equal(pulse.look(60_000, 2_900, ROUND_TRIP_MS), "fine");
  assert.equal(pulse.look(60_100, 2_900, ROUND_TRIP_MS), "fine");
});

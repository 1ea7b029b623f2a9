/**
 * A person of a field test in Chromium: the lines of `fairlead.lab.field.client`, from the npm client.
 *
 * Reads a line of orders, says when it hears and sees the other, and at the next line what came of it.
 * Times are of the machine's monotonic clock, in seconds, as Python's `time.monotonic()` has it.
 */
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import readline from "node:readline";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { chromium } from "playwright-core";
import { FLAGS, findChromium } from "../e2e/chromium.mjs";

const ORIGIN = "http://localhost:9";
const LOOKS = 20;

const here = path.dirname(fileURLToPath(import.meta.url));
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

function say(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

function now() {
  return Number(process.hrtime.bigint()) / 1e9;
}

async function open(browser, voice) {
  const { outputFiles } = await esbuild.build({
    entryPoints: [path.join(here, "person.ts")],
    bundle: true,
    format: "iife",
    target: "es2022",
    write: false,
    logLevel: "silent",
  });
  const page = await (await browser.newContext()).newPage();
  await page.route(`${ORIGIN}/**`, async (route) => {
    const { pathname } = new URL(route.request().url());
    if (pathname === "/voice") {
      return route.fulfill({ contentType: "audio/basic", body: await readFile(voice) });
    }
    if (pathname === "/person.js") {
      return route.fulfill({ contentType: "text/javascript", body: outputFiles[0].text });
    }
    const body = "<!doctype html><meta charset=utf-8><title>person</title><script src=/person.js></script>";
    return route.fulfill({ contentType: "text/html", body });
  });
  page.on("pageerror", (error) => process.stderr.write(`${error.message}\n`));
  await page.goto(`${ORIGIN}/`);
  return page;
}

/** The machine's clock less the page's, in seconds: the least of some looks is nearest. */
async function apart(page) {
  let least = Number.POSITIVE_INFINITY;
  for (let look = 0; look < LOOKS; look += 1) {
    const there = await page.evaluate(() => performance.now());
    least = Math.min(least, now() - there / 1e3);
  }
  return least;
}

async function throttle(page, rate) {
  const session = await page.context().newCDPSession(page);
  await session.send("Emulation.setCPUThrottlingRate", { rate });
}

async function told(page, offset, recording) {
  const found = await page.evaluate(() => window.tester.told());
  const at = (ms) => ms / 1e3 + offset;
  const sampled = (samples) => samples.map((sample) => ({ ...sample, at: at(sample.at) }));
  const heard = await Promise.all(
    found.heard.map(async ({ marks, samples }, number) => {
      const file = `${recording}.${number}`;
      const pcm = await page.evaluate((which) => window.tester.recording(which), number);
      await writeFile(file, Buffer.from(pcm, "base64"));
      const dated = marks.map(([count, ms]) => [count, at(ms)]);
      return { recording: file, marks: dated, samples: sampled(samples) };
    }),
  );
  return {
    began: at(found.began),
    ended: now(),
    heard,
    shown: found.shown.map(at),
    viewed: found.viewed.map(({ seen, samples }) => ({
      seen: seen.map(([ms, ...rest]) => [at(ms), ...rest]),
      samples: sampled(samples),
    })),
    log: found.log.map(([ms, text]) => [at(ms), text]),
  };
}

try {
  const orders = JSON.parse((await lines.next()).value);
  const browser = await chromium.launch({
    executablePath: findChromium(),
    headless: true,
    ignoreDefaultArgs: ["--mute-audio"],
    args: FLAGS,
  });
  const page = await open(browser, orders.voice);
  const offset = await apart(page);
  if (orders.slowdown > 1) {
    await throttle(page, orders.slowdown);
  }
  const joined = page.evaluate((value) => window.tester.join(value), orders);
  const ended = lines.next();
  await Promise.race([joined, ended.then(() => Promise.reject(new Error("it was stopped")))]);
  say({ hears: now() });
  await ended;
  say(await told(page, offset, orders.recording));
  await browser.close();
} catch (error) {
  process.stderr.write(`${String(error.message).split("\n")[0]}\n`);
  process.exitCode = 1;
} finally {
  process.exit();
}

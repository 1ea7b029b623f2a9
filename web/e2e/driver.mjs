/**
 * Drives Chromium for the tests: one JSON command a line on stdin, one JSON answer a line on stdout.
 *
 * {"id", "open": NAME, "single": BOOL, "lacks": [CODEC...]}
 *                                               a new page with a person in it
 * {"id", "page": NAME, "call": METHOD, "arguments": [...], "within_s"}   calls the person
 * {"id", "close": NAME}                         closes the page
 * Answers: {"id", "result"} or {"id", "error"}. Ends with stdin.
 */
import path from "node:path";
import readline from "node:readline";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { chromium } from "playwright-core";
import { FLAGS, findChromium } from "./chromium.mjs";

const ORIGIN = "http://localhost:9";

const bundle = await esbuild.build({
  entryPoints: [path.join(path.dirname(fileURLToPath(import.meta.url)), "person.ts")],
  bundle: true,
  format: "iife",
  target: "es2022",
  write: false,
  logLevel: "silent",
});
const script = bundle.outputFiles[0].text;
const html = `<!doctype html><meta charset="utf-8"><title>person</title><script src="/person.js"></script>`;

const browser = await chromium.launch({
  executablePath: findChromium(),
  headless: true,
  ignoreDefaultArgs: ["--mute-audio"],
  args: FLAGS,
});
const pages = new Map();

async function open(name, single, lacks) {
  const context = await browser.newContext();
  await context.route(`${ORIGIN}/**`, (route) =>
    route.request().url().endsWith(".js")
      ? route.fulfill({ contentType: "text/javascript", body: script })
      : route.fulfill({ contentType: "text/html", body: html }),
  );
  const page = await context.newPage();
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") {
      process.stderr.write(`${name}: ${message.text()}\n`);
    }
  });
  page.on("pageerror", (error) => process.stderr.write(`${name}: ${error.message}\n`));
  await page.goto(`${ORIGIN}/`);
  await page.evaluate((values) => window.newPerson(...values), [single, lacks ?? []]);
  pages.set(name, page);
}

async function close(name) {
  const page = pages.get(name);
  pages.delete(name);
  await page?.context().close();
}

async function answer(command) {
  if (command.open) {
    return open(command.open, command.single, command.lacks);
  }
  if (command.close) {
    return close(command.close);
  }
  const page = pages.get(command.page);
  if (!page) {
    throw new Error(`no page is called ${command.page}`);
  }
  const call = page.evaluate(
    ([method, list]) => window.person[method](...list),
    [command.call, command.arguments ?? []],
  );
  let timer;
  const late = new Promise((_, reject) => {
    const text = `${command.call} took longer than ${command.within_s} s`;
    timer = setTimeout(() => reject(new Error(text)), command.within_s * 1_000);
  });
  return Promise.race([call, late]).finally(() => clearTimeout(timer));
}

process.stdout.write(`${JSON.stringify({ ready: browser.version() })}\n`);
for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  answer(command).then(
    (result) => process.stdout.write(`${JSON.stringify({ id: command.id, result })}\n`),
    (error) => process.stdout.write(`${JSON.stringify({ id: command.id, error: error.message })}\n`),
  );
}
await browser.close();

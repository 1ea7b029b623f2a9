/**
 * Opens the doctor's page as a visitor and prints what it found, as JSON.
 *
 * node e2e/doctor.mjs ADDRESS
 */
import { chromium } from "playwright-core";
import { FLAGS, findChromium } from "./chromium.mjs";

const WITHIN_MS = 90_000;
const [address] = process.argv.slice(2);

const browser = await chromium.launch({ executablePath: findChromium(), args: FLAGS });
try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => process.stderr.write(`${error.message}\n`));
  await page.goto(address);
  const summary = page.locator(".doctor-summary:not(:empty)");
  await summary.waitFor({ timeout: WITHIN_MS });
  const ways = await page.locator(".doctor-ways tr").evaluateAll((rows) =>
    rows.map((row) => [row.firstElementChild.textContent, row.lastElementChild.className]),
  );
  const told = { ways: Object.fromEntries(ways), summary: await summary.textContent() };
  process.stdout.write(`${JSON.stringify(told)}\n`);
} finally {
  await browser.close();
}

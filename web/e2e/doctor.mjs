/**
 * Opens the doctor's page as a visitor and prints what it found, as JSON.
 *
 * node e2e/doctor.mjs ADDRESS [PICTURE.png] [--any-certificate] [--dark] [--phone]
 */
import { chromium } from "playwright-core";
import { FLAGS, findChromium } from "./chromium.mjs";

const WITHIN_MS = 90_000;
const words = process.argv.slice(2);
const [address, file] = words.filter((word) => !word.startsWith("--"));
const flags = words.includes("--any-certificate") ? ["--ignore-certificate-errors"] : [];

const browser = await chromium.launch({ executablePath: findChromium(), args: [...FLAGS, ...flags] });
try {
  const page = await browser.newPage({
    viewport: words.includes("--phone") ? { width: 390, height: 844 } : { width: 1000, height: 760 },
    colorScheme: words.includes("--dark") ? "dark" : "light",
  });
  page.on("pageerror", (error) => process.stderr.write(`${error.message}\n`));
  page.on("console", (message) => {
    if (message.text().includes("Content Security Policy")) {
      process.stderr.write(`${message.text()}\n`);
    }
  });
  await page.goto(address);
  const summary = page.locator(".doctor-summary:not(:empty)");
  await summary.waitFor({ timeout: WITHIN_MS });
  const ways = await page.locator(".doctor-ways tr").evaluateAll((rows) =>
    rows.map((row) => [row.firstElementChild.textContent, row.lastElementChild]).map(([way, cell]) => [way, { verdict: cell.className, says: cell.textContent }]),
  );
  const told = { summary: await summary.textContent(), ways: Object.fromEntries(ways) };
  process.stdout.write(`${JSON.stringify(told)}\n`);
  if (file) {
    await page.screenshot({ path: file });
  }
} finally {
  await browser.close();
}

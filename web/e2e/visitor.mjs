/**
 * One visitor alone: brings in the talking guide, cuts the cable, mends it, and takes pictures.
 *
 * node e2e/visitor.mjs http://localhost:7800 FOLDER [--phone] [--dark]
 */
import path from "node:path";
import { chromium } from "playwright-core";
import { FLAGS, findChromium } from "./chromium.mjs";

const WITHIN_MS = 60_000;
const LISTEN_MS = 6_000;
const [address, folder, ...flags] = process.argv.slice(2);
const phone = flags.includes("--phone");
const name = phone ? "phone" : "desktop";

const browser = await chromium.launch({ executablePath: findChromium(), args: FLAGS });
try {
  const page = await browser.newPage({
    viewport: phone ? { width: 390, height: 844 } : { width: 1360, height: 1000 },
    colorScheme: flags.includes("--dark") ? "dark" : "light",
  });
  page.on("pageerror", (error) => process.stderr.write(`${error.message}\n`));
  await page.goto(`${address}/call?role=shopper&source=generated&room=visitor-${Date.now()}`);
  await page.locator(".bring").click({ timeout: WITHIN_MS });
  await page.locator(".status-good").waitFor({ timeout: WITHIN_MS });
  await page.locator(".cable-count", { hasText: "ms" }).waitFor({ timeout: WITHIN_MS });
  await page.waitForTimeout(LISTEN_MS);
  await picture(page, "before");
  await page.locator(".cable-cut").click();
  await page.locator(".ticker-cut").first().waitFor({ timeout: WITHIN_MS });
  await page.waitForTimeout(LISTEN_MS);
  await picture(page, "cut");
  const [lost, concealed] = await page.locator(".cable-count").allTextContents();
  const told = await page.locator(".ticker-item").allTextContents();
  process.stdout.write(`${JSON.stringify({ lost, concealed, told })}\n`);
  await page.locator(".cable-mend").click();
  await page.waitForTimeout(LISTEN_MS);
  await picture(page, "mended");
  const width = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  process.stdout.write(`${JSON.stringify({ width })}\n`);
} finally {
  await browser.close();
}

async function picture(page, moment) {
  await page.screenshot({ path: path.join(folder, `${name}-${moment}.png`), fullPage: phone });
}

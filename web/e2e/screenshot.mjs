/**
 * Takes the picture of the README: both people of the demo side by side.
 *
 * node e2e/screenshot.mjs http://localhost:7800 ../docs/images/demo.png [--dark]
 */
import { chromium } from "playwright-core";
import { FLAGS, findChromium } from "./chromium.mjs";

const WITHIN_MS = 30_000;
const SETTLE_MS = 12_000;
const [address, file, ...flags] = process.argv.slice(2);

const browser = await chromium.launch({ executablePath: findChromium(), args: FLAGS });
try {
  const page = await browser.newPage({
    viewport: { width: 1640, height: 1010 },
    colorScheme: flags.includes("--dark") ? "dark" : "light",
  });
  const room = `picture-${Date.now()}`;
  await page.goto(`${address}/pair?room=${room}`);
  const [shopper, guide] = ["shopper", "guide"].map((role) =>
    page.frameLocator(`iframe[src*="role=${role}"]`),
  );
  for (const frame of [shopper, guide]) {
    await frame.locator(".status-good").waitFor({ timeout: WITHIN_MS });
    await frame.locator(".stage-video:not([hidden])").waitFor({ timeout: WITHIN_MS });
  }
  await say(shopper, "Selamat malam! Do you have the blue lantern from the window?");
  await guide.getByText("blue lantern").waitFor({ timeout: WITHIN_MS });
  await say(guide, "Good evening. One moment, I will hold it up to the camera.");
  await shopper.getByText("One moment").waitFor({ timeout: WITHIN_MS });
  for (const frame of [shopper, guide]) {
    await frame.locator(".figure dd", { hasText: "fps" }).waitFor({ timeout: WITHIN_MS });
    await frame.locator(".figure dd").first().filter({ hasText: "ms" }).waitFor({ timeout: WITHIN_MS });
    await frame.locator("video.stage-video").evaluate(
      (video, size) =>
        new Promise((done) => {
          const look = () => (video.videoWidth >= size ? done() : requestAnimationFrame(look));
          look();
        }),
      640,
    );
  }
  // The medians forget the burst of joining.
  await page.waitForTimeout(SETTLE_MS);
  for (const frame of [shopper, guide]) {
    await frame.locator("html").evaluate((html) => html.scrollTo(0, 0));
  }
  await page.screenshot({ path: file });
} finally {
  await browser.close();
}

async function say(frame, text) {
  await frame.getByLabel("Message", { exact: true }).fill(text);
  await frame.getByRole("button", { name: "Send" }).click();
}

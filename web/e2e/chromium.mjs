/** Which Chromium to start and how. */
import { existsSync } from "node:fs";

const PLACES = [
  process.env.FAIRLEAD_CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
];

export const FLAGS = [
  "--no-sandbox",
  "--autoplay-policy=no-user-gesture-required",
  "--disable-background-timer-throttling",
  "--disable-backgrounding-occluded-windows",
  "--disable-renderer-backgrounding",
  "--disable-features=WebRtcHideLocalIpsWithMdns,LocalNetworkAccessChecks",
  "--use-fake-ui-for-media-stream",
  "--use-fake-device-for-media-stream",
];

/** The first Chromium found. Throws where there is none. */
export function findChromium() {
  const found = PLACES.find((place) => place && existsSync(place));
  if (!found) {
    throw new Error("no Chromium is installed: install it, or name one in FAIRLEAD_CHROMIUM");
  }
  return found;
}

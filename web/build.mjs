/** Bundles the demo pages into dist/: one script and one stylesheet a page, html copied as it is. */
import { cp, mkdir, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import path from "node:path";
import * as esbuild from "esbuild";

const root = path.dirname(fileURLToPath(import.meta.url));
const dist = path.join(root, "dist");

const options = {
  absWorkingDir: root,
  entryPoints: {
    landing: "src/landing.ts",
    call: "src/call.ts",
    pair: "src/pair.ts",
    doctor: "src/doctor.ts",
    watchdog: "watchdog/watchdog.ts",
    style: "src/style/style.css",
  },
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  sourcemap: true,
  outdir: dist,
  logLevel: "warning",
};

await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });
await cp(path.join(root, "public"), dist, { recursive: true });

if (process.argv.includes("--watch")) {
  const context = await esbuild.context(options);
  await context.watch();
} else {
  await esbuild.build(options);
}

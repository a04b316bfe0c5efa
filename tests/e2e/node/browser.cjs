// What the browser's scripts share.
"use strict";
const assert = require("node:assert/strict");
const path = require("node:path");
const modules = process.env.NODE_MODULES;
const { chromium } = require(path.join(modules, "playwright-core"));
const axe = require.resolve(path.join(modules, "axe-core/axe.min.js"));

/** Runs a script with a browser, and fails with what it threw. */
exports.main = (script) => {
  (async () => {
    const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });
    try {
      await script(browser, JSON.parse(process.argv[2] || "{}"));
    } finally {
      await browser.close();
    }
  })().catch((error) => {
    console.error(error);
    process.exit(1);
  });
};

/** A page that remembers what went wrong on it, and every request that left the dashboard's own origin. */
exports.watched = async (context, origin) => {
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) wrong.push(`${page.url()}: ${message.text()}`); });
  page.on("pageerror", (error) => wrong.push(`${page.url()}: ${error}`));
  page.on("request", (request) => { if (origin && !request.url().startsWith(origin)) wrong.push(`${page.url()} asks ${request.url()}`); });
  return { page, wrong };
};

/** What axe-core finds. It is put in by the browser's own means: the page's policy lets no foreign script in. */
exports.accessible = async (page) => {
  const session = await page.context().newCDPSession(page);
  const source = require("node:fs").readFileSync(axe, "utf8");
  const run = "axe.run({ resultTypes: ['violations'] }).then((found) => JSON.stringify(found.violations.map((one) => ({ id: one.id, impact: one.impact, nodes: one.nodes.map((node) => node.html + ' ' + node.failureSummary) }))))";
  await session.send("Runtime.evaluate", { expression: source });
  const { result } = await session.send("Runtime.evaluate", { expression: run, awaitPromise: true });
  await session.detach();
  const found = JSON.parse(result.value);
  assert.deepEqual(found, [], `${page.url()}: ${JSON.stringify(found, null, 1)}`);
};

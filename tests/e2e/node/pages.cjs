// Every page in both themes and at three widths, with and without script; and what people do on them.
"use strict";
const assert = require("node:assert/strict");
const path = require("node:path");
const { main, watched, accessible } = require("./browser.cjs");

/** Looks at one page as it is shown. `refused` pages answer an error, which the console tells too. */
const look = async (page, wrong, { base, shots }, where, name, refused) => {
  const answer = await page.goto(base + where);
  assert.equal(answer.status() >= 400, Boolean(refused), `${where}: ${answer.status()}`);
  assert.ok(await page.locator("h1").count() === 1, `${where} has one heading`);
  await accessible(page);
  const { wide, room } = await page.evaluate(() => ({ wide: document.documentElement.scrollWidth, room: innerWidth }));
  assert.ok(wide <= room, `${where} is ${wide} wide in ${room}`);
  if (shots) await page.screenshot({ path: path.join(shots, `${name}.png`), fullPage: true });
  const told = wrong.splice(0).filter((text) => !(refused && /Failed to load resource/.test(text)));
  assert.deepEqual(told, [], where);
};

const flows = async (browser, { base }, origin) => {
  const context = await browser.newContext({ acceptDownloads: true });
  const { page, wrong } = await watched(context, origin);

  // The keyboard alone.
  await page.goto(base);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");

  // The theme is kept.
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  await page.click("#theme");
  assert.equal(await theme(), "dark");
  await page.reload();
  assert.equal(await theme(), "dark");
  await page.click("#theme");

  // A filter is in the URL, without what is empty, and its export is what is seen.
  await page.goto(`${base}images`);
  await page.keyboard.press("/");
  await page.keyboard.type("nginx");
  await page.keyboard.press("Enter");
  await page.waitForURL(/q=nginx/);
  assert.equal(page.url(), `${base}images?q=nginx`);
  const rows = await page.locator("tbody tr").count();
  assert.ok(rows > 0);
  const file = async (label) => {
    const [download] = await Promise.all([page.waitForEvent("download"), page.click(`.export >> text=${label}`)]);
    return require("node:fs").readFileSync(await download.path(), "utf8");
  };
  assert.equal((await file("CSV")).trim().split("\n").length, rows + 1);
  assert.equal(JSON.parse(await file("JSON")).length, rows);
  assert.match(await file("Markdown"), /nginx/);
  await page.click("th >> text=Image");
  await page.waitForURL(/sort=/);
  await page.click(".chip");
  await page.waitForURL((url) => !url.search.includes("q="));
  await page.goBack();
  await page.waitForURL(/q=nginx/);

  // From a row to its image, to its history, and to another report.
  await page.click("tbody a");
  await page.waitForURL(/image\?/);
  await page.click("text=History");
  await page.waitForURL(/history\?/);
  await page.goto(base);
  await page.selectOption("#report", { index: 2 });
  await page.waitForURL(/report=provenance-/);

  // What a report says is text.
  await page.goto(`${base}images?q=hostile`);
  assert.equal(await page.evaluate(() => window.hostile), undefined);
  assert.match(await page.textContent("tbody"), /<script>/);
  assert.deepEqual(wrong, []);
  await context.close();
};

const withoutScript = async (browser, { base }, origin) => {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const { page, wrong } = await watched(context, origin);
  await page.goto(`${base}images`);
  assert.ok(!(await page.isVisible("#theme")), "what needs the script is not shown");
  await page.fill("input[type=search]", "nginx");
  await page.click("text=Filter >> nth=0");
  await page.waitForURL(/q=nginx/);
  assert.ok(await page.locator("tbody tr").count() > 0);
  await page.click("summary >> text=More filters");
  await page.selectOption("select[name=update]", { index: 1 });
  await page.click("button >> text=Filter");
  await page.waitForURL(/update=/);
  await page.goto(`${base}compare`);
  await page.selectOption("select[name=from]", { index: 1 });
  await page.click("button >> text=Compare");
  await page.waitForURL(/from=/);
  await page.goto(base);
  await page.selectOption("#report", { index: 1 });
  await page.click("form:has(#report) button");
  await page.waitForURL(/report=provenance-/);
  await page.selectOption("#cluster", "demo");
  await page.click("form:has(#cluster) button");
  await page.waitForURL(/cluster=demo/);
  assert.match(await page.textContent("section.bar strong"), /^demo$/);
  assert.deepEqual(wrong, []);
  await context.close();
};

main(async (browser, question) => {
  const origin = new URL(question.base).origin;
  const found = [];
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [400, 1280, 1920]) {
      const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 } });
      const { page, wrong } = await watched(context, origin);
      for (const { where, name, refused } of question.pages) {
        const shown = `${name}-${colorScheme}-${width}`;
        await look(page, wrong, question, where, shown, refused).catch((error) => found.push(`${shown}: ${error.message.split("\n+ actual")[0]}`));
      }
      await context.close();
    }
  }
  assert.ok(found.length === 0, found.join("\n"));
  if (question.flows) {
    await flows(browser, question, origin);
    await withoutScript(browser, question, origin);
  }
});

// A person signs in, reads, perhaps starts a scan, and signs out.
"use strict";
const assert = require("node:assert/strict");
const { main, watched, accessible } = require("./browser.cjs");

const logIn = {
  keycloak: async (page, user) => {
    await page.fill("#username", user);
    await page.fill("#password", "password");
    await page.click("#kc-login");
  },
  provider: async (page, user) => {
    await page.fill("input[name=login]", user);
    await page.fill("input[name=password]", "any");
    await page.click("button[type=submit]");
    await page.waitForSelector("form");
    await page.click("button[type=submit]");
  },
};

main(async (browser, { base, issuer, kind, user, may, secure, scan }) => {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const { page, wrong } = await watched(context);
  const mine = () => page.url().startsWith(base);

  await page.goto(`${base}images?q=nginx`);
  assert.ok(page.url().startsWith(issuer), `sent to sign in: ${page.url()}`);
  await logIn[kind](page, user);
  await page.waitForURL((url) => url.href.startsWith(base));
  assert.equal(page.url(), `${base}images?q=nginx`, "back on the page that was wanted");
  if (may === "nothing") {
    assert.match(await page.textContent("main"), /your groups may not read/);
    await accessible(page);
    await page.click("text=Sign out");
    return;
  }
  assert.match(await page.textContent("table"), /nginx/);
  await accessible(page);

  const cookies = (await context.cookies(base)).filter((cookie) => cookie.name.startsWith("provenance-"));
  assert.ok(cookies.length > 0);
  for (const cookie of cookies) {
    assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.secure], [true, "Lax", secure], cookie.name);
    assert.ok(!/@example|admins/.test(Buffer.from(cookie.value, "base64").toString()), "encrypted");
  }
  assert.equal(await page.evaluate(() => document.cookie), "");
  const me = await page.evaluate(async () => (await fetch("api/me")).json());
  assert.equal(me.authEnabled, true);
  assert.equal(me.email, `${user}@example.com`);
  assert.equal(me.canRunScan, may === "scan" && Boolean(scan));

  assert.equal(await page.locator("text=Run scan").count(), me.canRunScan ? 1 : 0);
  if (me.canRunScan) {
    await page.click("text=Run scan");
    await page.waitForURL(/scan\?job=manual-/);
    assert.match(await page.textContent("h1"), /under way/);
    await accessible(page);
    console.log(new URL(page.url()).searchParams.get("job"));
  } else if (may === "read") {
    // A form made by hand does not help.
    const status = await page.evaluate(async () => (await fetch("api/scan", { method: "POST" })).status);
    assert.equal(status, scan ? 403 : 503);
  }

  const kept = await context.cookies(base);
  await page.goto(base);
  await page.click("text=Sign out");
  if (kind === "provider") await page.click("button[value=yes]");
  await page.waitForURL((url) => url.href.startsWith(base));
  assert.ok(page.url().endsWith("/signed-out"), page.url());
  await accessible(page);
  assert.deepEqual((await context.cookies(base)).filter((cookie) => cookie.name.startsWith("provenance-")), []);
  await page.goto(base);
  assert.ok(!mine(), "who signed out signs in again");

  // What was kept of the session opens nothing any more.
  const thief = await browser.newContext({ ignoreHTTPSErrors: true });
  await thief.addCookies(kept.filter((cookie) => cookie.name === "provenance-session"));
  const answer = await thief.request.get(`${base}api/reports`);
  assert.equal(answer.status(), 401);

  // An answer that nobody here asked for is not taken.
  const stray = await thief.request.get(`${base}callback?code=x&state=y`, { maxRedirects: 0 });
  assert.equal(stray.status(), 400);
  const refusals = wrong.filter((text) => !/status of 40[13]|status of 503/.test(text) && text.startsWith(base));
  assert.deepEqual(refusals, []);
});

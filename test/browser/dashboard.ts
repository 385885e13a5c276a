/** The dashboard as people meet it: real nodes, a real browser. Run by `deno task browser`, and by the gate. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { parseTokens } from "../../src/auth/tokens.ts";
import { RealCluster } from "../chaos/real_cluster.ts";
import { withApps } from "../routes/memory_apps.ts";
import { Chromium } from "./chromium.ts";

const PROGRAM = Deno.env.get("QUORATE_TEST_BROWSER") ?? "chromium";
const PICTURES = Deno.env.get("QUORATE_SCREENSHOTS");
const EVIL = "<img src=x onerror=alert(1)>";
/** Steps of the keyboard until what is sought must have had the focus. */
const TABS_MAX = 60;

async function inBrowser(run: (page: Chromium) => Promise<void>): Promise<void> {
  const page = await Chromium.start(PROGRAM);
  try {
    await run(page);
  } finally {
    await page.close();
  }
}

/** As curl does. */
async function write(url: string, method: string, body: object | string, headers: Record<string, string> = {}) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const response = await fetch(url, { method, body: text, headers });
  const answer = await response.text();
  assert(response.ok, `${method} ${url}: ${answer}`);
  return answer;
}

async function go(page: Chromium, place: string): Promise<void> {
  await page.evaluate(`location.hash = ${JSON.stringify(place)}`);
}

async function picture(page: Chromium, name: string): Promise<void> {
  if (PICTURES === undefined) return;
  await Deno.mkdir(PICTURES, { recursive: true });
  await page.screenshot(`${PICTURES}${name}.png`);
}

/** By the Tab key alone, to what this selector is of. */
async function tabTo(page: Chromium, selector: string): Promise<void> {
  for (let i = 0; i < TABS_MAX; i++) {
    if (await page.evaluate(`document.activeElement.matches(${JSON.stringify(selector)})`)) return;
    await page.press("Tab");
  }
  throw new Error(`no Tab comes to ${selector}`);
}

const shows = (text: string) => `document.getElementById("page").innerText.includes(${JSON.stringify(text)})`;
const cell = (name: string, column: string) =>
  `[...document.querySelectorAll("tbody tr")].find((tr) => tr.firstChild.textContent === ${JSON.stringify(name)})` +
  `?.querySelector("td.${column}").textContent`;
const forceButton = `document.querySelector("#page button.danger")`;

/** Nothing was complained of, and nothing was asked of anybody but these nodes. */
function assertQuiet(page: Chromium, ...origins: readonly string[]): void {
  assertEquals(page.complaints, []);
  const foreign = page.asked.filter((url) =>
    !/^(?:data|blob|about):/.test(url) && !origins.includes(new URL(url).origin)
  );
  assertEquals(foreign, []);
  assertGreater(page.asked.length, 5);
}

Deno.test("dashboard: what others do is seen at once, what is done to it is asked first, and a name is text", async (t) => {
  const cluster = await RealCluster.start(3, 0, { env: { QUORATE_TRACE: "1" } });
  const url = cluster.url("a");
  const waiting: Promise<string>[] = [];
  const gone = new AbortController();
  try {
    await inBrowser(async (page) => {
      await page.open(`${url}/`);

      await t.step("overview: who answers and votes", async () => {
        await page.until(`document.querySelectorAll("tr.up").length === 3`);
        await page.until(shows("3 of 3"));
        // From /metrics.
        await page.until(shows("Oldest hold"));
      });

      await t.step("lists: a lock that curl takes appears, counts down, and goes on when it is released", async () => {
        await go(page, "#/locks");
        await page.until(`document.querySelector(".stream.live")`);
        const grant = JSON.parse(
          await write(`${url}/v1/locks/deploy%2Fapi`, "POST", { holder: "ci-17", ttlMs: 60_000 }),
        );
        await page.until(`${cell("deploy/api", "who")} === "ci-17"`);
        assertEquals(await page.evaluate(cell("deploy/api", "number")), grant.fence);
        const first = await page.evaluate(cell("deploy/api", "time"));
        await page.until(`${cell("deploy/api", "time")} !== ${JSON.stringify(first)}`);
        await write(`${url}/v1/locks/deploy%2Fapi/${grant.fence}`, "DELETE", "");
        await page.until(`${cell("deploy/api", "state")} === "free"`);
      });

      await t.step("lists: a prefix and a state leave out the rest, also of what comes later", async () => {
        for (let i = 0; i < 6; i++) {
          await write(`${url}/v1/locks/job%2F${i}`, "POST", { holder: `worker-${i}`, ttlMs: 60_000 + 20_000 * i });
        }
        await go(page, "#/locks?prefix=job%2F&state=held");
        await page.until(`document.querySelectorAll("tbody tr").length === 6`);
        await write(`${url}/v1/locks/other`, "POST", { holder: "x" });
        await write(`${url}/v1/locks/job%2F6`, "POST", { holder: "worker-6" });
        await page.until(`document.querySelectorAll("tbody tr").length === 7`);
        assert(await page.evaluate(`!${shows("other")}`));
        const { fence } = JSON.parse(await write(`${url}/v1/locks/job%2F7`, "POST", { holder: "worker-7" }));
        await page.until(cell("job/7", "state"));
        await write(`${url}/v1/locks/job%2F7/${fence}`, "DELETE", "");
        await page.until(`${cell("job/7", "state")} === undefined`);
      });

      await t.step("lists: by how long something has been held, which what comes later has not", async () => {
        const choose = (age: string) =>
          page.evaluate(
            `{ const age = document.getElementById("age"); age.value = "${age}"; age.dispatchEvent(new Event("change")); }`,
          );
        await choose("1m");
        await page.until(`location.hash.includes("age=1m") && ${shows("0 shown")}`);
        assert(page.asked.some((asked) => asked.includes("/v1/locks?prefix=job%2F&limit=100&heldForMs=60000")));
        await page.until(`document.querySelector(".stream.live")`);
        await write(`${url}/v1/locks/job%2F8`, "POST", { holder: "worker-8" });
        await choose("");
        await page.until(`!location.hash.includes("age=") && ${cell("job/8", "who")} === "worker-8"`);
        await go(page, "#/kv");
        await page.until(`document.getElementById("state") !== null && document.getElementById("age") === null`);
      });

      await t.step("one name: its queue moves", async () => {
        const { fence } = JSON.parse(
          await write(`${url}/v1/locks/deploy%2Fapi`, "POST", {
            holder: "ci-17",
            ttlMs: 60_000,
            metadata: "build 4711",
          }),
        );
        await go(page, "#/locks/deploy%2Fapi");
        await page.until(shows("Nobody waits."));
        for (const holder of ["ci-18", "ci-19", "ci-20"]) {
          const body = JSON.stringify({ holder, ttlMs: 60_000, waitMs: 60_000 });
          const init = { method: "POST", body, headers: { "idempotency-key": holder }, signal: gone.signal };
          waiting.push(fetch(`${url}/v1/locks/deploy%2Fapi`, init).then((response) => response.text(), () => ""));
          await page.until(shows(holder));
        }
        assert(await page.evaluate(shows("Queue: 3 wait")));
        await write(`${url}/v1/locks/deploy%2Fapi/${fence}`, "DELETE", "");
        await page.until(shows("Queue: 2 wait"));
        await page.until(`[...document.querySelectorAll("tbody th")][0].textContent === "ci-18"`);
        await page.until(shows("released"));
      });

      await t.step("one name: its chart is drawn", async () => {
        await page.until(`document.querySelector(".chart img")?.naturalWidth > 0`);
        assert(await page.evaluate(`document.querySelector("details pre").textContent.includes("request acquire")`));
        await picture(page, "lock");
      });

      await t.step("force: nothing happens before a reason is given, and then the history has it", async () => {
        await page.evaluate(`${forceButton}.click()`);
        await page.until(`document.querySelector("dialog[open]")`);
        assert(await page.evaluate(`document.querySelector("dialog").innerText.includes("ci-18, fence ")`));
        await picture(page, "force");
        await page.press("Enter");
        assert(await page.evaluate(`document.querySelector("dialog[open]") !== null`));
        await page.press("Escape");
        await page.until(`document.querySelector("dialog") === null`);
        assertEquals(JSON.parse(await (await fetch(`${url}/v1/locks/deploy%2Fapi`)).text()).holders[0].holder, "ci-18");

        await page.evaluate(`${forceButton}.click()`);
        await page.type("host burnt down");
        await page.press("Enter");
        await page.until(shows("forced: host burnt down"));
        await page.until(shows("Queue: 1 waits"));
        assertEquals(JSON.parse(await (await fetch(`${url}/v1/locks/deploy%2Fapi`)).text()).holders[0].holder, "ci-19");
      });

      await t.step("names, holders and values are text wherever they stand", async () => {
        await page.evaluate(`globalThis.alert = () => globalThis.alerted = true`);
        const at = (path: string, field = "name") => `${url}/v1/${path}/-?${field}=${encodeURIComponent(EVIL)}`;
        await write(at("locks"), "POST", { holder: EVIL, metadata: EVIL });
        await write(at("elections"), "POST", { candidate: EVIL, value: EVIL });
        await write(at("semaphores"), "POST", { limit: 2, holder: EVIL });
        await write(at("kv", "key"), "PUT", EVIL, { "content-type": "text/html" });
        for (const path of ["locks", "elections", "semaphores", "kv"]) {
          await go(page, `#/${path}`);
          await page.until(shows(EVIL));
          await go(page, `#/${path}/${encodeURIComponent(EVIL)}`);
          await page.until(`document.querySelector("h1").textContent === ${JSON.stringify(EVIL)}`);
          await page.until(`document.querySelector(".stream.live")`);
          await page.until(
            path === "kv" ? `document.querySelector("textarea").value === ${JSON.stringify(EVIL)}` : "true",
          );
        }
        const images = `document.querySelectorAll('img:not([src^="blob:"])').length`;
        assertEquals(await page.evaluate(`[${images}, globalThis.alerted ?? false]`), [0, false]);
        // Markup cannot be made of text here, whoever tried.
        const before = page.complaints.length;
        const markup = `(() => { try { document.body.innerHTML = "x"; } catch { return true; } })()`;
        assertEquals(await page.evaluate(markup), true);
        assertEquals(page.complaints.splice(before).map((line) => line.includes("TrustedHTML")), [true]);
      });

      await t.step("a register: shown as text, JSON and hex; what is saved replaces what was read alone", async () => {
        const key = `${url}/v1/kv/config%2Fflags`;
        const value = '{"dark":true,"n":[12345678901234567890,{}]}';
        await write(`${key}?ttlMs=600000`, "PUT", value, { "content-type": "application/json" });
        await go(page, "#/kv/config%2Fflags");
        // As it stands, with other white space: no number is rounded.
        const indented = '{\n  "dark": true,\n  "n": [\n    12345678901234567890,\n    {}\n  ]\n}';
        await page.until(`document.querySelector("textarea")?.value === ${JSON.stringify(indented)}`);
        await picture(page, "register");
        const show = (view: string) =>
          page.evaluate(
            `(() => { const view = document.getElementById("view"); view.value = "${view}"; ` +
              `view.dispatchEvent(new Event("change")); return document.querySelector("textarea").value; })()`,
          );
        const hex = new TextEncoder().encode(value).toHex();
        assertEquals((await show("hex") as string).replaceAll(/\s/g, ""), hex);
        assertEquals(await show("text"), value);
        const edit = async (text: string) => {
          await page.evaluate(`document.querySelector("textarea").focus()`);
          await page.evaluate(`document.querySelector("textarea").select()`);
          await page.type(text);
        };
        const save = () =>
          page.evaluate(`[...document.querySelectorAll("button")].find((one) => one.innerText === "Save").click()`);
        await edit('{"dark":false}');
        await save();
        await page.until(shows("Saved."));
        const saved = await fetch(key);
        const told = [saved.headers.get("content-type"), await saved.text()];
        assertEquals(told, ["application/json", '{"dark":false}']);
        // It lives no longer than it did.
        const { items } = await (await fetch(`${url}/v1/kv?prefix=config%2Fflags`)).json();
        assertEquals(items[0].ttlMs, 600_000);
        // A change of it is told without its life, by which the list still knows it.
        await go(page, "#/kv?state=ephemeral");
        await page.until(`${cell("config/flags", "time")}?.includes("min")`);
        const revision = await page.evaluate(cell("config/flags", "number"));
        await write(`${key}?ttlMs=600000`, "PUT", '{"dark":0}', { "content-type": "application/json" });
        await page.until(`![undefined, ${JSON.stringify(revision)}].includes(${cell("config/flags", "number")})`);
        assertEquals(await page.evaluate(cell("config/flags", "state")), "ephemeral");
        await go(page, "#/kv/config%2Fflags");
        await page.until(`document.querySelector("textarea")?.value.includes("0")`);

        await edit('{"dark":"mine"}');
        await write(key, "PUT", '{"dark":"theirs"}');
        await page.until(shows("Somebody else has changed it since."));
        assertEquals(await page.evaluate(`document.querySelector("textarea").value`), '{"dark":"mine"}');
        // 412 is a line in the console of every browser, and the one that is looked for here.
        const before = page.complaints.length;
        await save();
        await page.until(shows("Not saved: somebody else has changed it since."));
        assertEquals(page.complaints.splice(before).map((line) => line.includes("412")), [true]);
        assertEquals(await (await fetch(key)).text(), '{"dark":"theirs"}');
      });

      await t.step("sessions: what is bound to one", async () => {
        const { id } = JSON.parse(await write(`${url}/v1/sessions`, "POST", { holder: "svc", ttlMs: 60_000 }));
        await write(`${url}/v1/locks/leased`, "POST", { session: id });
        await go(page, "#/sessions");
        await page.until(shows(id));
        await go(page, `#/sessions/${id}`);
        await page.until(`document.querySelector('a[href="#/locks/leased"]')`);
      });

      await t.step("by keyboard alone: to a list, to a name, into the dialog and out of it again", async () => {
        await go(page, "#/");
        await page.until(`document.querySelectorAll("tr.up").length === 3`);
        await page.evaluate(`document.activeElement.blur()`);
        await tabTo(page, 'nav a[href="#/locks"]');
        await page.press("Enter");
        await page.until(`document.querySelector('tbody a[href="#/locks/deploy%2Fapi"]')`);
        await tabTo(page, 'tbody a[href="#/locks/deploy%2Fapi"]');
        assert(await page.evaluate(`getComputedStyle(document.activeElement).outlineStyle !== "none"`));
        await page.press("Enter");
        await page.until(forceButton);
        await tabTo(page, "#page button.danger");
        await page.press("Enter");
        await page.until(`document.activeElement.id === "reason"`);
        await page.press("Escape");
        await page.until(`document.activeElement.matches("#page button.danger")`);
        // Whoever cannot see it is told what each field is.
        const unnamed =
          `[...document.querySelectorAll("input, select, textarea")].filter((one) => one.labels.length === 0).length`;
        assertEquals(await page.evaluate(unnamed), 0);
        // What is no noun is no page, whatever else JavaScript calls so.
        await go(page, "#/constructor");
        await page.until(shows("No such page"));
      });

      await t.step("dark, and 360 px wide: nothing is cut off sideways, and text is told from its ground", async () => {
        for (const scheme of ["light", "dark"]) {
          await page.prefer({ "prefers-color-scheme": scheme });
          for (const place of ["#/", "#/locks", "#/locks/deploy%2Fapi", "#/kv/config%2Fflags"]) {
            await page.resize({ width: 360, height: 740 });
            await go(page, place);
            await page.until(`document.querySelector("h1") && !${shows("Loading")}`);
            await page.until(
              place === "#/" ? `document.querySelector(".map svg")` : `document.querySelector(".stream.live")`,
            );
            const wide = await page.evaluate<number>(`document.documentElement.scrollWidth`);
            assert(wide <= 360, `${place} in ${scheme}: ${wide} px`);
            const contrast = await page.evaluate<number>(CONTRAST);
            assert(contrast >= 4.5, `${place} in ${scheme}: a contrast of ${contrast}`);
            if (scheme === "light" && place === "#/locks") await picture(page, "locks_360");
          }
        }
        await page.resize({ width: 1_100, height: 700 });
        await go(page, "#/locks");
        await page.until(cell("deploy/api", "state"));
        await picture(page, "locks_dark");
        await page.prefer({ "prefers-color-scheme": "light" });
        await go(page, "#/");
        // Two counts of a node make a rate.
        await page.until(`/recovered \\d/.test(document.getElementById("page").innerText)`);
        await picture(page, "overview");
        await page.prefer({ "prefers-color-scheme": "dark" });
      });

      await t.step("a killed node turns red, and good again once it is back", async () => {
        await go(page, "#/");
        await page.until(`document.querySelectorAll("tr.up").length === 3`);
        await cluster.kill("b");
        await page.until(`document.querySelector('tr.down[data-node="b"]')`);
        await page.until(`document.querySelector("g.node.down text").textContent === "b"`);
        const red = `getComputedStyle(document.querySelector("g.node.down circle")).stroke`;
        assertEquals(await page.evaluate(red), "rgb(255, 138, 128)");
        await picture(page, "overview_down");
        await cluster.startNode("b");
        await page.until(`document.querySelectorAll("tr.up").length === 3`);
      });

      assertQuiet(page, url);
    });
  } finally {
    gone.abort();
    await Promise.all(waiting);
    await cluster.stop();
  }
});

/** The least of any text of the page against what lies behind it, as WCAG 2 counts it. */
const CONTRAST = `(() => {
  const channels = (color) => {
    const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (color) => {
    const [r, g, b] = channels(color).map((one) => one / 255).map((one) => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let one = element; one !== null; one = one.parentElement) {
      const color = getComputedStyle(one).backgroundColor;
      if (color !== "rgba(0, 0, 0, 0)") return color;
    }
    return "white";
  };
  const texts = [...document.querySelectorAll("header *, #page *")].filter((element) =>
    !element.closest("svg, [hidden], .chart") && !element.disabled && element.checkVisibility() &&
    [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== ""));
  return Math.min(...texts.map((element) => {
    const [light, dark] = [luminance(getComputedStyle(element).color), luminance(ground(element))].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  }));
})()`;

Deno.test("dashboard: with tokens it asks for one, shows what that may see, and writes only with admin", async () => {
  const tokens = {
    reader: ["lock:read:*", "kv:read:*"],
    admin: ["lock:read,admin:*", "kv:read,write,admin:*"],
    narrow: ["lock:read,write,admin:mine/*"],
  };
  const secretOf = (name: string) => `secret-${name}-0123456789`;
  const known = parseTokens(JSON.stringify(
    Object.entries(tokens).map(([subject, scopes]) => ({ subject, scopes, sha256: sha256Hex(secretOf(subject)) })),
  ));
  await withApps(1, async (apps) => {
    const url = apps.url("a");
    const as = (name: string) => ({ authorization: `Bearer ${secretOf(name)}` });
    await write(`${url}/v1/locks/mine%2Fx`, "POST", { holder: "h" }, as("narrow"));
    await write(`${url}/v1/kv/flags`, "PUT", "on", as("admin"));
    const enter = async (page: Chromium, token: string) => {
      await page.until(`document.activeElement.id === "token-text"`);
      await page.type(token);
      await page.press("Enter");
    };
    const seen: string[] = [];
    for (const [name, mayForce, mayWrite] of [["reader", false, false], ["admin", true, true]] as const) {
      await inBrowser(async (page) => {
        await page.open(`${url}/`);
        await enter(page, secretOf(name));
        await page.until(`document.querySelectorAll("tr.up").length === 1`);
        await go(page, "#/locks/mine%2Fx");
        await page.until(shows("No hold of it has ended yet."));
        assertEquals(await page.evaluate(`${forceButton} !== null`), mayForce, name);
        await go(page, "#/kv/flags");
        await page.until(`document.querySelector("textarea")?.value === "on"`);
        assertEquals(await page.evaluate(`!document.querySelector("textarea").readOnly`), mayWrite, name);
        // In this tab, and there alone.
        const kept =
          `[localStorage.length, document.cookie, sessionStorage.length, sessionStorage["quorate-token"], history.state]`;
        assertEquals(await page.evaluate(kept), [0, "", 1, secretOf(name), null]);
        assertEquals(await page.evaluate(`document.documentElement.outerHTML.includes("secret-")`), false);
        assertQuiet(page, url);
        seen.push(...page.asked);
        // After a reload it is still there, and once forgotten it is not.
        await page.evaluate(`globalThis.isOld = true, location.reload()`);
        await page.until(`globalThis.isOld === undefined && document.querySelector("textarea")?.value === "on"`);
        await page.evaluate(`document.getElementById("forget").click()`);
        await page.until(`!document.getElementById("token").hidden`);
        assertEquals(await page.evaluate(`[sessionStorage.length, document.getElementById("page").innerText]`), [
          0,
          "",
        ]);
      });
    }
    await inBrowser(async (page) => {
      await page.open(`${url}/`);
      // A wrong one is said to be wrong, and is forgotten.
      await enter(page, "nobody's");
      await page.until(`document.getElementById("token-why").textContent.includes("does not know")`);
      assertEquals(await page.evaluate(`sessionStorage.length`), 0);
      await enter(page, secretOf("narrow"));
      await page.until(`document.querySelectorAll("tr.up").length === 1`);
      await go(page, "#/locks");
      await page.until(`${cell("mine/x", "who")} === "h"`);
      await go(page, "#/kv");
      await page.until(shows("no scope of narrow allows kv:read here"));
      seen.push(...page.asked);
    });
    assertEquals(seen.filter((one) => one.includes("secret") || one.includes("nobody")), []);
    assertEquals(apps.reports, []);
  }, { tokens: known });
});

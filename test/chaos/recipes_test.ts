/** The recipes of docs: each does its job while one node after the other is killed and started again. */
import { assert, assertEquals } from "@std/assert";
import { deployInTurn } from "../../docs/recipes/ci_queue.ts";
import { oncePerPeriod } from "../../docs/recipes/cron_on_one_host.ts";
import { serve } from "../../docs/recipes/leader_elected_service.ts";
import { addresses, announce } from "../../docs/recipes/registry.ts";
import { withAll } from "../../docs/recipes/session_with_locks.ts";
import { configure } from "../../docs/recipes/shared_config.ts";
import { workOn } from "../../docs/recipes/worker_pool.ts";
import type { Quorate } from "../../src/mod.ts";
import { type Linked, withLinks } from "../client/linked_nodes.ts";
import { until } from "../replica/clocks.ts";
import { pause } from "./real_cluster.ts";

const FOLDER = new URL("../../docs/recipes/", import.meta.url);
const DOWN_MS = 100;
const UP_MS = 50;

/** Clients of nodes of which one at a time is gone. */
async function amidKills(run: (clients: readonly Quorate[], linked: Linked) => Promise<void>): Promise<void> {
  await withLinks(3, async (linked) => {
    let isOver = false;
    const killing = (async () => {
      for (let i = 0; !isOver; i++) {
        linked.kill(i % 3);
        await pause(DOWN_MS);
        await linked.restart(i % 3);
        await pause(UP_MS);
      }
    })();
    try {
      await run([1, 2, 3, 4].map(() => linked.client()), linked);
    } finally {
      isOver = true;
      await killing;
    }
  });
}

Deno.test("recipes: each is 15 lines at most, and is listed", async () => {
  const readme = await Deno.readTextFile(new URL("README.md", FOLDER));
  let count = 0;
  for await (const { name } of Deno.readDir(FOLDER)) {
    if (!name.endsWith(".ts")) continue;
    count++;
    const lines = (await Deno.readTextFile(new URL(name, FOLDER))).trimEnd().split("\n").length;
    assert(lines <= 15, `${name} has ${lines}`);
    assert(readme.includes(`| \`${name}\` |`), name);
  }
  assertEquals(count, 7);
});

Deno.test("recipes: a cron job runs on one host a period, also for who comes late", () =>
  amidKills(async (clients) => {
    for (const period of ["2026-11-28", "2026-11-29"]) {
      let runs = 0;
      const run = () => Promise.resolve(void runs++);
      const ran = await Promise.all(
        clients.map((quorate) => oncePerPeriod(quorate, "backup", period, run)),
      );
      ran.push(await oncePerPeriod(clients[0]!, "backup", period, run));
      assertEquals([runs, ran.filter((mine) => mine).length], [1, 1]);
    }
  }));

Deno.test("recipes: a service has one instance at work, and another when that stops", () =>
  amidKills(async (clients) => {
    const steps: { readonly url: string; readonly fence: bigint }[] = [];
    const stops = clients.map(() => new AbortController());
    const serving = clients.map((quorate, i) =>
      serve(quorate, `http://${i}`, stops[i]!.signal, async (fence) => {
        steps.push({ url: `http://${i}`, fence });
        await pause(5);
      })
    );
    for (let i = 0; i < clients.length; i++) {
      const before = steps.length;
      await until("somebody works", () => steps.length > before + 3);
      const { url } = steps.at(-1)!;
      assertEquals((await clients[0]!.elections.leader("service"))?.value, url);
      stops[Number(url.at(-1))]!.abort();
      await serving[Number(url.at(-1))];
    }
    await Promise.all(serving);
    assertEquals(new Set(steps.map(({ url }) => url)).size, clients.length);
    for (const [i, { fence }] of steps.entries()) assert(i === 0 || fence >= steps[i - 1]!.fence);
  }));

Deno.test("recipes: a pool has three workers at a time, and no update of an item is lost", () =>
  amidKills(async (clients) => {
    let [now, most] = [0, 0];
    const one = (quorate: Quorate, item: string) =>
      workOn(quorate, item, async (old) => {
        most = Math.max(most, ++now);
        await pause(5);
        now--;
        return `${Number(old ?? 0) + 1}`;
      });
    await Promise.all(clients.flatMap((quorate) => ["a", "b", "c", "a"].map((item) => one(quorate, item))));
    const { kv } = clients[0]!;
    const counts = await Promise.all(["a", "b", "c"].map(async (item) => (await kv.get(`item/${item}`))?.text()));
    assertEquals(counts, ["8", "4", "4"]);
    assert(most <= 3, `${most}`);
  }));

Deno.test("recipes: a registry has who is there and not who is gone", () =>
  amidKills(async ([one, two, three]) => {
    const seen = await addresses(three!, "api");
    const first = await announce(one!, "api", "1", "http://1");
    const second = await announce(two!, "api", "2", "http://2");
    await until("both are there", () => seen.now().sort().join() === "http://1,http://2");
    await first[Symbol.asyncDispose]();
    await until("one is left", () => seen.now().join() === "http://2");
    await second.release();
    await until("nobody is left", () => seen.now().length === 0);
    seen.close();
  }));

Deno.test("recipes: deployments take turns in the order of asking, and who gives up is out of the queue", () =>
  amidKills(async ([one, two, three, four]) => {
    const said: string[] = [];
    const fences: bigint[] = [];
    const order: string[] = [];
    const gone = new AbortController();
    const ask = (quorate: Quorate, id: string, signal: AbortSignal, deploy: () => Promise<void> = () => pause(5)) =>
      deployInTurn(quorate, { id, signal, say: (line) => said.push(line) }, async (fence) => {
        order.push(id);
        fences.push(fence);
        await deploy();
      });
    const never = new AbortController().signal;
    let finish = () => {};
    const first = ask(one!, "first", never, () => new Promise((resolve) => finish = resolve));
    await until("the first deploys", () => order.length === 1);
    const quitter = ask(two!, "quitter", gone.signal).catch((error) => error);
    await until("it waits", () => said.includes("quitter is number 1"));
    const second = ask(three!, "second", never);
    await until("it waits", () => said.includes("second is number 2"));
    const third = ask(four!, "third", never);
    await until("it waits", () => said.includes("third is number 3"));
    gone.abort("enough");
    assertEquals(await quitter, "enough");
    await until("the others move up", () => said.includes("third is number 2"));
    finish();
    await Promise.all([first, second, third]);
    assertEquals(order, ["first", "second", "third"]);
    assertEquals(fences, [...fences].sort((a, b) => a < b ? -1 : 1));
  }));

Deno.test("recipes: a document that several write loses no change", () =>
  amidKills(async (clients) => {
    await Promise.all(clients.map(async (quorate, i) => {
      for (let k = 0; k < 5; k++) await configure(quorate, (config) => ({ ...config, [`${i}.${k}`]: true }));
    }));
    const config = (await clients[0]!.kv.get("config"))!.json() as Record<string, unknown>;
    assertEquals(Object.keys(config).length, 20);
  }));

Deno.test("recipes: locks of a session are held together, and free once it ends", () =>
  amidKills(async (clients) => {
    let [now, most] = [0, 0];
    await Promise.all(clients.map((quorate, i) =>
      withAll(quorate, i % 2 === 0 ? ["a", "b", "c"] : ["c", "b"], async (stop) => {
        most = Math.max(most, ++now);
        await pause(5);
        assertEquals(stop.aborted, false);
        now--;
      })
    ));
    assertEquals(most, 1);
    assertEquals((await clients[0]!.locks.query()).held, []);
  }));

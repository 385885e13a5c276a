/** The main promise, on five real processes: fences never repeat or sink, and nothing acknowledged is lost. */
import { assertEquals, assertGreater } from "@std/assert";
import { fenceFaults, type GrantEvent } from "../sim/check/fences.ts";
import { until } from "../replica/clocks.ts";
import { call, callAny, ISOLATES, pause, RealCluster } from "./real_cluster.ts";

const SECONDS = Number(Deno.env.get("QUORATE_SOAK_SECONDS") ?? 10);
/** On a machine with much else to do it goes on until there is something to check, up to here. */
const AT_MOST_SECONDS = SECONDS + 60;
/** Where a node is several processes, its return takes most of a small machine, and every request more than that. */
const [GRANTS, CLIENTS] = ISOLATES === 1 ? [100, 40] : [20, 15];
/** Between a return and the next death. */
const CALM_MS = 700 * ISOLATES;
const TIMEOUT_MS = ISOLATES === 1 ? 2_000 : 5_000;
const LOCKS = 20;
/** What a client rests between two locks at most: enough are under way at each death, and the machine has time for who returns. */
const REST_MAX_MS = 500;

Deno.test(`five nodes: ${CLIENTS} clients, 20 locks, two nodes killed and restarted in turn, then all five`, async (t) => {
  const cluster = await RealCluster.start(5);
  const urls = cluster.ids.map((id) => cluster.url(id));
  try {
    await t.step("fences are distinct and never sink while nodes die and return", async () => {
      const events: GrantEvent[] = [];
      const counts: Record<string, number> = {};
      const startMs = performance.now();
      const goesOn = (reserveMs = 0) => {
        const seconds = (performance.now() - startMs + reserveMs) / 1000;
        return seconds < SECONDS || (events.length <= GRANTS && seconds < AT_MOST_SECONDS);
      };
      const clients = Array.from({ length: CLIENTS }, (_, i) => client(i, urls, goesOn, events, counts));
      const kills = await killInTurn(cluster, goesOn);
      await Promise.all(clients);
      console.log(`${kills} kills, ${events.length} grants, answers ${JSON.stringify(counts)}`);
      assertEquals(fenceFaults(events), []);
      assertGreater(kills, 1);
      assertGreater(events.length, GRANTS);
      assertEquals(counts["wrong"] ?? 0, 0);
    });

    await t.step("every acknowledged hold is there after all five were killed at once", async () => {
      await Promise.all(cluster.ids.map((id) => cluster.ready(id)));
      const held = new Map<string, string>();
      for (let i = 0; i < LOCKS; i++) {
        const name = `kept-${i}`;
        const reply = await callAny(urls, i, "POST", `/v1/locks/${name}`, { holder: `h${i}`, ttlMs: 600_000 }, 10);
        assertEquals(reply?.status, 200);
        held.set(name, String(reply!.body["fence"]));
      }
      const released = await callAny(urls, 0, "DELETE", `/v1/locks/kept-0/${held.get("kept-0")}`, undefined, 10);
      assertEquals(released?.body["outcome"], "released");
      held.delete("kept-0");
      await Promise.all(cluster.ids.map((id) => cluster.kill(id)));
      await Promise.all(cluster.ids.map((id) => cluster.startNode(id)));
      for (const [name, fence] of held) {
        const state = await call(urls[1]!, "GET", `/v1/locks/${name}`);
        const [holder] = state!.body["holders"] as { fence: string }[];
        assertEquals(holder?.fence, fence, name);
        const other = await call(urls[2]!, "POST", `/v1/locks/${name}`, { holder: "thief" });
        assertEquals(other?.status, 409);
      }
      const free = await call(urls[3]!, "GET", "/v1/locks/kept-0");
      assertEquals(free?.body["state"], "free");
    });

    const fresh = (url: string, query = "") =>
      call(url, "POST", `/v1/locks/fresh${query}`, { holder: "me" }, { "Idempotency-Key": "fresh-1" });
    const down = ["c", "d", "e"];

    await t.step(
      "three nodes stop before anybody knows: what was sent to them is unknown, and how to ask again told",
      async () => {
        for (const id of down) cluster.signal(id, "SIGSTOP");
        // A node that has just come back asks the others first, for a second at most, and then sends.
        const told = await fresh(urls[1]!, "?timeoutMs=2000");
        const { code, outcome, idempotencyKey, born } = told!.body;
        assertEquals([told!.status, code, outcome, idempotencyKey], [504, "outcome-unknown", "unknown", "fresh-1"]);
        assertEquals(typeof born, "number");
      },
    );

    await t.step(
      "three nodes known to be down: nothing is sent, and no wrong grant; on again when one returns",
      async () => {
        await Promise.all(down.map((id) => cluster.kill(id)));
        for (const url of urls.slice(0, 2)) {
          let faulty: string[] = [];
          for (let i = 0; i < 4_800 && faulty.length < down.length; i++) {
            const members = (await call(url, "GET", "/v1/status"))?.body["members"] as { id: string; fault?: object }[];
            faulty = members.filter(({ fault }) => fault !== undefined).map(({ id }) => id);
            await pause(25);
          }
          for (const name of ["kept-1", "new"]) {
            const told = await call(url, "POST", `/v1/locks/${name}`, { holder: "thief" });
            const { code, outcome } = told!.body;
            assertEquals([told!.status, code, outcome], [503, "no-quorum", "none"], name);
          }
        }
        await cluster.startNode("d");
        const again = await callAny([urls[0]!, urls[1]!, urls[3]!], 0, "POST", "/v1/locks/other", { holder: "me" }, 10);
        assertEquals(again?.status, 200);
        // It is decided once, and whoever asks again learns how.
        const settled = await fresh(urls[3]!);
        assertEquals(settled?.status, 200);
        const same = await fresh(urls[0]!);
        assertEquals(same?.body["fence"], settled?.body["fence"]);
      },
    );

    await t.step("who waits at a node that is asked to end keeps its place, and is answered elsewhere", async () => {
      await cluster.startNode("c");
      const take = (url: string, holder: string) =>
        call(url, "POST", "/v1/locks/turn", { holder, ttlMs: 600_000, waitMs: 60_000 }, { "Idempotency-Key": holder });
      const waiters = async () => {
        const { waiters } = (await call(urls[0]!, "GET", "/v1/locks/turn"))!.body;
        return (waiters as { holder: string }[]).map(({ holder }) => holder).join();
      };
      const held = await take(urls[0]!, "holder");
      const atItsEnd = take(urls[1]!, "first");
      await until("the first waits", async () => await waiters() === "first");
      const second = take(urls[3]!, "second");
      await until("both wait", async () => await waiters() === "first,second");
      assertEquals([...new Set(await cluster.end("b"))], [0]);
      assertEquals((await atItsEnd)?.status ?? null, null);
      assertEquals(await waiters(), "first,second");
      const first = take(urls[2]!, "first");
      await call(urls[0]!, "DELETE", `/v1/locks/turn/${held!.body["fence"]}`);
      const granted = await first;
      assertEquals([granted?.status, await waiters()], [200, "second"]);
      await call(urls[0]!, "DELETE", `/v1/locks/turn/${granted!.body["fence"]}`);
      assertEquals((await second)?.status, 200);
    });
  } finally {
    await cluster.stop();
  }
});

/** Takes and releases locks at random until the time is up. What it cannot know it does not count. */
async function client(
  index: number,
  urls: readonly string[],
  goesOn: () => boolean,
  events: GrantEvent[],
  counts: Record<string, number>,
): Promise<void> {
  const count = (what: string) => counts[what] = (counts[what] ?? 0) + 1;
  for (; goesOn(); await pause(Math.random() * REST_MAX_MS)) {
    const lock = `lock-${Math.floor(Math.random() * LOCKS)}`;
    const calledMs = performance.now();
    // The ttl is long against the run: within it nobody's hold may end but by release.
    const body = { holder: `client-${index}`, ttlMs: 3_600_000, waitMs: Math.random() < 0.5 ? 2_000 : 0 };
    const reply = await callAny(urls, index, "POST", `/v1/locks/${lock}?timeoutMs=${TIMEOUT_MS}`, body, 20);
    count(reply === null ? "unknown" : String(reply.body["code"] ?? "granted"));
    if (reply?.status !== 200) continue;
    const fence = String(reply.body["fence"]);
    events.push({ lock, calledMs, returnedMs: performance.now(), fence: BigInt(fence) });
    const released = await callAny(
      urls,
      index + 1,
      "DELETE",
      `/v1/locks/${lock}/${fence}?timeoutMs=${TIMEOUT_MS}`,
      undefined,
      20,
    );
    const outcome = String(released?.body["outcome"] ?? released?.body["code"] ?? "unknown");
    // A hold that nobody else may have ended was ended by this call or an earlier try of it.
    if (!["released", "already-released", "unknown"].includes(outcome)) {
      count("wrong");
      console.log(`${lock} ${fence}: ${JSON.stringify(released)}`);
    }
  }
}

/** Two at a time are down at most; each comes back before the next goes. */
async function killInTurn(cluster: RealCluster, goesOn: (reserveMs: number) => boolean): Promise<number> {
  let kills = 0;
  for (let i = 0; goesOn(1_500); i++) {
    await pause(CALM_MS);
    const pair = [cluster.ids[i % 5]!, cluster.ids[(i + 2) % 5]!];
    for (const id of pair) await cluster.kill(id);
    kills += pair.length;
    await pause(500);
    for (const id of pair) await cluster.startNode(id, [], { ready: false });
    for (const id of pair) await cluster.ready(id);
  }
  return kills;
}

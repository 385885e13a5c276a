/**
 * What a cluster that is busy does to the page, and a viewer to its node: 10,000 locks, 200 of them renewed a second through
 * another node. Printed and not judged: it depends on the machine, and on what else that does.
 */
import { cpuMs } from "../bench/measure.ts";
import { RealCluster } from "../chaos/real_cluster.ts";
import { Chromium, mainThreadTasks } from "./chromium.ts";

const NAMES = 10_000;
const CHANGES_PER_SECOND = 200;
const BATCH = 100;
const TICK_MS = 50;
/** With a viewer and without, turn by turn, so that what else the machine does weighs on both alike. */
const ROUNDS = 5;
const ROUND_MS = 8_000;
const SETTLE_MS = 1_500;

type Held = { readonly name: string; readonly fence: string };

/** Prints what was measured; the exit code. */
export async function measureLoad(program: string): Promise<number> {
  const cluster = await RealCluster.start(3, 0, { env: { QUORATE_RATE: "off" } });
  try {
    const held = await fill(cluster.url("b"));
    console.log(`${held.length} locks are held`);
    const load = new Load(cluster.url("b"), held);
    const page = await Chromium.start(program);
    try {
      await page.open(`${cluster.url("a")}/#/`);
      const costs: Record<"alone" | "watched", number[]> = { alone: [], watched: [] };
      const trace = await page.trace(async () => {
        for (let round = 0; round < ROUNDS; round++) {
          await page.call("Page.navigate", { url: "about:blank" });
          costs.alone.push(await share(cluster.pid("a")));
          await page.call("Page.navigate", { url: `${cluster.url("a")}/#/locks` });
          await page.until(`document.querySelectorAll("tbody tr").length === ${BATCH}`);
          costs.watched.push(await share(cluster.pid("a")));
        }
      });
      const tasks = mainThreadTasks(trace, cluster.url("a"));
      const usedMs = await page.evaluate<number>(NEXT_PAGE);
      const made = load.count;
      await load.stop();
      const mean = (of: readonly number[]) => of.reduce((sum, one) => sum + one, 0) / of.length;
      const percent = (of: number) => `${(100 * of).toFixed(1)} %`;
      console.log(`${(made.done / made.seconds).toFixed(0)} changes a second, failed: ${JSON.stringify(made.failed)}`);
      const longest = (key: "wallMs" | "cpuMs") =>
        tasks.reduce((most, task) => Math.max(most, task[key]), 0).toFixed(1);
      // On a machine that does more than it can, the first is mostly time in which the browser did not run.
      console.log(
        `main thread: ${tasks.length} tasks, the longest ${longest("wallMs")} ms, of CPU ${longest("cpuMs")} ms`,
      );
      console.log(`a click on "Next page" shows it after ${usedMs.toFixed(0)} ms`);
      console.log(`node, share of a core without a viewer: ${costs.alone.map(percent).join(", ")}`);
      console.log(`node, share of a core with one viewer:  ${costs.watched.map(percent).join(", ")}`);
      console.log(`a viewer costs the node ${percent(mean(costs.watched) - mean(costs.alone))} of a core`);
      console.log(`the page complains: ${JSON.stringify(page.complaints)}`);
      return 0;
    } finally {
      await load.stop();
      await page.close();
    }
  } finally {
    await cluster.stop();
  }
}

/** From the click to the first row of the page after this one, in ms. */
const NEXT_PAGE = `(async () => {
  const first = document.querySelector("tbody th").textContent;
  const at = performance.now();
  [...document.querySelectorAll(".pages a")].find((one) => one.innerText === "Next page").click();
  while ((document.querySelector("tbody th")?.textContent ?? first) <= first && performance.now() - at < 20000) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return performance.now() - at;
})()`;

/** The share of a core that a process takes for a while, once it has settled. */
async function share(pid: number): Promise<number> {
  await pause(SETTLE_MS);
  const [fromMs, from] = [performance.now(), await cpuMs([pid])];
  await pause(ROUND_MS);
  return ((await cpuMs([pid]) ?? NaN) - (from ?? NaN)) / (performance.now() - fromMs);
}

async function fill(url: string): Promise<readonly Held[]> {
  const held: Held[] = [];
  for (let from = 0; from < NAMES; from += BATCH) {
    const operations = Array.from({ length: BATCH }, (_, i) => {
      const name = `name-${String(from + i).padStart(5, "0")}`;
      return { method: "POST", path: `/v1/locks/${name}`, body: { holder: "load", ttlMs: 3_600_000 } };
    });
    const response = await fetch(`${url}/v1/batch`, { method: "POST", body: JSON.stringify(operations) });
    if (!response.ok) throw new Error(await response.text());
    for (const { status, body } of await response.json()) {
      if (status === 200) held.push({ name: body.name, fence: body.fence });
    }
  }
  return held;
}

/** Renews one lock after another, so and so many a second, whether those before are answered or not. */
class Load {
  readonly #startedMs = performance.now();
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #waiting = new Set<Promise<void>>();
  #sent = 0;
  #done = 0;
  readonly #failed = new Map<string, number>();

  constructor(url: string, held: readonly Held[]) {
    this.#timer = setInterval(() => {
      const due = Math.floor((performance.now() - this.#startedMs) / 1_000 * CHANGES_PER_SECOND);
      for (; this.#sent < due; this.#sent++) {
        // By a step that meets each of them: neighbours do not change one after the other.
        const { name, fence } = held[this.#sent * 7_919 % held.length]!;
        const sent: Promise<void> = fetch(`${url}/v1/locks/${name}/${fence}`, { method: "PUT", body: "{}" })
          .then(async (response) => {
            const { code = "" } = await response.json();
            response.ok ? this.#done++ : this.#note(code);
          }).catch((error: Error) => this.#note(error.message))
          .finally(() => this.#waiting.delete(sent));
        this.#waiting.add(sent);
      }
    }, TICK_MS);
  }

  #note(why: string): void {
    this.#failed.set(why, (this.#failed.get(why) ?? 0) + 1);
  }

  get count() {
    const seconds = (performance.now() - this.#startedMs) / 1_000;
    return { done: this.#done, failed: Object.fromEntries(this.#failed), seconds };
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#waiting);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Members change under load, again and again: a lost disk is replaced, twice of three and once of five, and three become four, five
 * and three while nodes are killed at any moment. Everything its users were told is judged at the end. `deno task members` runs it.
 */
import { BATCH_MAX_OPERATIONS } from "../../src/limits.ts";
import { stopSignal } from "../../src/cli/stop_signal.ts";
import { above, optionsOf, whole } from "../options.ts";
import { seeded } from "../replica/clocks.ts";
import { fenceFaults } from "../sim/check/fences.ts";
import { contradictions, endFaults, lostWrites } from "./check_history.ts";
import { isSuccess } from "./client.ts";
import { History } from "./history.ts";
import { holdsOf } from "./holds.ts";
import { until } from "../replica/clocks.ts";
import { MemberCluster } from "./member_cluster.ts";
import { call, pause } from "./real_cluster.ts";
import { RegisterLoad } from "./register_load.ts";
import { lostUpdates, Resource } from "./resource.ts";
import { readBack } from "./run_mix.ts";
import { Workload } from "./workload.ts";

export type DrillOptions = {
  /** Clusters are made anew until then; what is begun is ended. */
  readonly forMs: number;
  /** Clients at once, a quarter of them on registers. */
  readonly workers: number;
  /** The longest that one of them rests between two operations, in ms. Default: so short that they keep the machine busy. */
  readonly thinkMs?: number;
  readonly seed: number;
  /** Rounds of changes in one cluster. Default: as many as there are ids for. */
  readonly rounds?: number;
  /** Registers that nobody uses, which each change has to move besides. Default: none. */
  readonly names?: number;
};

export type Drilled = {
  readonly operations: number;
  readonly writes: number;
  /** Nobody was told what became of them. */
  readonly unknown: number;
  readonly changes: number;
  readonly disksLost: number;
  readonly kills: number;
  /** Without an acknowledged write, in ms, by kind of step. */
  readonly longestGapMs: Readonly<Record<string, number>>;
  readonly lost: readonly string[];
  readonly fell: readonly string[];
  readonly violations: readonly string[];
};

const FIRST = "abc";
const IDS = "abcdefghijklmnopqrstuvwxyz";
/** Ids that a round of changes uses up. */
const NEW_EACH = 5;
const ROUNDS_MAX = Math.floor((IDS.length - FIRST.length) / NEW_EACH);
const CALM_MS = 1_000;
const KILL_REST_MS: readonly [number, number] = [500, 5_000];
const FINAL_MS = 2_000;

/**
 * Rejects if `stopped` does before the end; either way everything it started is ended.
 * @param tell of each step, a line
 */
export async function drill(
  options: DrillOptions,
  tell: (line: string) => void = () => {},
  stopped: Promise<never> = new Promise(() => {}),
): Promise<Drilled> {
  const untilMs = performance.now() + options.forMs;
  let all: Drilled | null = null;
  for (let i = 0; all === null || performance.now() < untilMs; i++) {
    const one = await oneCluster({ ...options, seed: options.seed + i }, untilMs, tell, stopped);
    all = all === null ? one : added(all, one);
  }
  return all;
}

async function oneCluster(
  options: DrillOptions,
  untilMs: number,
  tell: (line: string) => void,
  stopped: Promise<never>,
): Promise<Drilled> {
  const cluster = await MemberCluster.start(FIRST);
  try {
    return await Promise.race([new Run(cluster, options, tell).play(untilMs), stopped]);
  } finally {
    await cluster.stop();
  }
}

class Run {
  readonly #cluster: MemberCluster;
  readonly #options: DrillOptions;
  readonly #tell: (line: string) => void;
  readonly #random: () => number;
  readonly #history = new History();
  /** Where clients send: the members, one of which may be gone for good. */
  readonly #nodes: Map<string, string>;
  readonly #steps: { readonly kind: string; readonly fromMs: number; readonly toMs: number }[] = [];
  readonly #ids = [...IDS.slice(FIRST.length)];
  #members = FIRST;
  #epoch = 0;
  #kills = 0;
  #disksLost = 0;

  constructor(cluster: MemberCluster, options: DrillOptions, tell: (line: string) => void) {
    this.#cluster = cluster;
    this.#options = options;
    this.#tell = tell;
    this.#random = seeded(options.seed * 10_000);
    this.#nodes = new Map([...FIRST].map((id) => [id, cluster.url(id)]));
  }

  async play(untilMs: number): Promise<Drilled> {
    const { seed, workers, thinkMs, rounds = ROUNDS_MAX, names = 0 } = this.#options;
    await this.#fill(names);
    const [guarded, unguarded] = [new Resource({ guarded: true }), new Resource({ guarded: false })];
    const registerClients = Math.max(1, Math.floor(workers / 4));
    const shared = { nodes: this.#nodes, seed, ...(thinkMs === undefined ? {} : { thinkMs }) };
    const history = this.#history;
    const locks = new Workload({ ...shared, history, guarded, unguarded, clients: workers - registerClients });
    const registers = new RegisterLoad({ ...shared, now: () => history.now(), clients: registerClients });
    await this.#step("calm", () => pause(CALM_MS));
    for (let i = 0; i < rounds && (i === 0 || performance.now() < untilMs); i++) await this.#round();
    await this.#step("calm", () => pause(FINAL_MS));
    await Promise.all([locks.stop(), registers.stop()]);
    const ends = await readBack(history, this.#nodes, [...this.#nodes.keys()]);
    const { operations } = history;
    const writes = [
      ...operations.filter((one) => one.op !== "read" && isSuccess(one)).map(({ returnMs }) => returnMs),
      ...registers.events.filter(({ op, output }) => op !== "get" && output !== "unknown").map((one) => one.returnMs!),
    ];
    const fell = fenceFaults([...holdsOf(operations).values()].flat());
    return {
      operations: operations.length + registers.events.length,
      writes: writes.length,
      unknown: operations.filter((one) => !isSuccess(one)).length +
        registers.events.filter(({ output }) => output === "unknown").length,
      changes: this.#epoch,
      disksLost: this.#disksLost,
      kills: this.#kills,
      longestGapMs: this.#gaps(writes),
      lost: lostWrites(operations),
      fell,
      violations: [
        ...contradictions(operations).filter((line) => !fell.includes(line)),
        ...endFaults(operations, ends),
        ...lostUpdates(guarded.writes),
        ...registers.faults(),
      ],
    };
  }

  async #fill(names: number): Promise<void> {
    for (let first = 0; first < names; first += BATCH_MAX_OPERATIONS) {
      const count = Math.min(BATCH_MAX_OPERATIONS, names - first);
      const puts = Array.from(
        { length: count },
        (_, i) => ({ method: "PUT", path: `/v1/kv/unused${first + i}`, body: i }),
      );
      await until(`${names} names are written`, async () => {
        const reply = await call(this.#cluster.url(FIRST[0]!), "POST", "/v1/batch", puts);
        const items = (reply?.body as unknown as readonly { readonly status: number }[] | undefined) ?? [];
        return reply?.status === 200 && items.every(({ status }) => status === 200);
      });
    }
  }

  async #round(): Promise<void> {
    await this.#step("a disk of three is lost and replaced", () => this.#replace());
    await this.#step("a disk of three is lost and replaced", () => this.#replace());
    await this.#step("3 to 4, with kills", () => this.#killing(() => this.#add()));
    await this.#step("4 to 5, with kills", () => this.#killing(() => this.#add()));
    await this.#step("a disk of five is lost and replaced, with kills", () => this.#replace(true));
    await this.#step("5 to 3, with kills", () => this.#killing(() => this.#shrink()));
  }

  async #step(kind: string, work: () => Promise<void>): Promise<void> {
    const fromMs = this.#history.now();
    await work();
    for (const id of this.#cluster.ids) if (!this.#members.includes(id)) await this.#cluster.kill(id);
    const toMs = this.#history.now();
    this.#steps.push({ kind, fromMs, toMs });
    this.#tell(`${kind}: epoch ${this.#epoch}, members ${this.#members}, ${Math.round(toMs - fromMs)} ms`);
  }

  async #replace(kills = false): Promise<void> {
    const lost = this.#any([...this.#members]);
    await this.#cluster.loseDisk(lost);
    this.#disksLost++;
    await pause(this.#random() * CALM_MS);
    const replacing = () => this.#put(lost);
    await (kills ? this.#killing(replacing) : replacing());
  }

  /** A new node in the place of this one. */
  async #put(lost: string): Promise<void> {
    const next = this.#ids.shift()!;
    await this.#cluster.join(next);
    const left = this.#members.replace(lost, "");
    const args = ["member", "replace", lost, "--with", `${next}=${this.#cluster.url(next)}`, "--no-wait"];
    await until(`${lost} is replaced by ${next}`, async () => (await this.#cluster.quorate(left, ...args)).code === 0);
    await this.#changed(left + next);
  }

  async #add(): Promise<void> {
    const next = this.#ids.shift()!;
    await this.#cluster.join(next);
    await this.#change(this.#members + next);
  }

  async #shrink(): Promise<void> {
    const left = [...this.#members];
    for (let i = 0; i < 2; i++) left.splice(Math.floor(this.#random() * left.length), 1);
    await this.#change(left.join(""));
  }

  async #change(ids: string): Promise<void> {
    const before = this.#members;
    await until(`the members are ${ids}`, async () => {
      for (const via of before) if ((await this.#cluster.change(via, this.#epoch, ids))?.status === 200) return true;
      return false;
    });
    await this.#changed(ids);
  }

  async #changed(ids: string): Promise<void> {
    this.#members = ids;
    this.#epoch++;
    for (const id of ids) this.#nodes.set(id, this.#cluster.url(id));
    for (const id of [...this.#nodes.keys()]) if (!ids.includes(id)) this.#nodes.delete(id);
    await this.#cluster.moved(this.#epoch, ids);
  }

  /** While it lasts nodes are killed and started again, one at a time, so that there is a quorum of each epoch. */
  async #killing(work: () => Promise<void>): Promise<void> {
    let isOver = false;
    const killer = (async () => {
      // The first comes soon, so that no change is over before there was one.
      for (let [least, most] = [0, KILL_REST_MS[0]];; [least, most] = KILL_REST_MS) {
        await pause(least + this.#random() * (most - least));
        if (isOver) return;
        const id = this.#any(this.#cluster.ids.filter((id) => this.#cluster.isRunning(id)));
        await this.#cluster.kill(id);
        this.#kills++;
        await this.#cluster.startNode(id, [], false);
        await until(`${id} is back`, async () => {
          const status = await this.#cluster.status(id);
          return isOver || status?.voting === true || (status !== null && !this.#members.includes(id));
        });
      }
    })();
    try {
      await work();
    } finally {
      isOver = true;
      await killer;
    }
    // The next step may take another away.
    for (const id of this.#members) {
      if (this.#cluster.isRunning(id)) await this.#cluster.ready(id);
    }
  }

  /** A gap counts for the step in which it ended. */
  #gaps(writtenMs: readonly number[]): Record<string, number> {
    const gaps: Record<string, number> = {};
    let before = 0;
    for (const atMs of writtenMs.toSorted((a, b) => a - b)) {
      const kind = this.#steps.find(({ toMs }) => atMs <= toMs)?.kind ?? "calm";
      gaps[kind] = Math.max(gaps[kind] ?? 0, Math.round(atMs - before));
      before = atMs;
    }
    return gaps;
  }

  #any<T>(items: readonly T[]): T {
    return items[Math.floor(this.#random() * items.length)]!;
  }
}

function added(a: Drilled, b: Drilled): Drilled {
  const kinds = [...new Set([...Object.keys(a.longestGapMs), ...Object.keys(b.longestGapMs)])];
  return {
    operations: a.operations + b.operations,
    writes: a.writes + b.writes,
    unknown: a.unknown + b.unknown,
    changes: a.changes + b.changes,
    disksLost: a.disksLost + b.disksLost,
    kills: a.kills + b.kills,
    longestGapMs: Object.fromEntries(
      kinds.map((kind) => [kind, Math.max(a.longestGapMs[kind] ?? 0, b.longestGapMs[kind] ?? 0)]),
    ),
    lost: [...a.lost, ...b.lost],
    fell: [...a.fell, ...b.fell],
    violations: [...a.violations, ...b.violations],
  };
}

/** Its figures, and what was wrong. */
export function toldOf({ lost, fell, violations, longestGapMs, ...figures }: Drilled): string {
  const gaps = Object.entries(longestGapMs).map(([kind, ms]) => `longest time without a write, ${kind}: ${ms} ms`);
  return [
    `${Object.entries(figures).map(([what, figure]) => `${what} ${figure}`).join(", ")}`,
    `lost acknowledgements ${lost.length}, fences that fell ${fell.length}, violations ${violations.length}`,
    ...gaps,
    ...[...lost, ...fell, ...violations].slice(0, 20).map((line) => `  WRONG ${line}`),
  ].join("\n");
}

const HELP = `deno task members [--minutes 5] [--workers 64] [--seed 1] [--rounds 1] [--names 0]

Real processes on real files, and clients that take locks and read and write registers. Again and again: a disk of three is lost
for good and its member replaced, twice; three become four, then five; a disk of five is lost and replaced; five become three.
But for the first two, nodes are killed (kill -9) at any moment and started again, one at a time. After some such rounds the
cluster is made anew.

  --minutes  in all; what is begun is ended
  --workers  clients at once, a quarter of them on registers
  --seed     of what is lost, killed and asked for; the machine does the rest
  --rounds   in one cluster, at most ${ROUNDS_MAX}: there are no more letters for nodes
  --names    that nobody uses, and that each change has to move besides

lost acknowledgements  grants, holds or releases that a later linearizable read does not show
fences that fell       granted twice, or below one that was told before
violations             answers that do not fit each other or their guarantees, and registers that no order explains
unknown                operations of which nobody was told what became of them

Exit code: 0 nothing wrong, 1 something is, 2 an option is wrong.`;

if (import.meta.main) {
  const values = optionsOf(HELP, {
    minutes: { type: "string", default: "5" },
    workers: { type: "string", default: "64" },
    seed: { type: "string", default: "1" },
    rounds: { type: "string", default: "1" },
    names: { type: "string", default: "0" },
  });
  const rounds = Math.min(ROUNDS_MAX, whole("rounds", values.rounds));
  const forMs = above("minutes", values.minutes, 0) * 60_000;
  const [workers, seed] = [whole("workers", values.workers), whole("seed", values.seed)];
  const names = values.names === "0" ? 0 : whole("names", values.names);
  const options = { forMs, workers, seed, rounds, names };
  const stopped = stopSignal().then((): never => {
    throw new Error("stopped");
  });
  stopped.catch(() => {});
  try {
    // The whole machine's: what else runs on it shows in every figure.
    const load = () => `load average ${Deno.loadavg()[0]!.toFixed(1)}`;
    const drilled = await drill(options, (line) => console.log(`${line}; ${load()}`), stopped);
    console.log(toldOf(drilled));
    Deno.exit(drilled.lost.length + drilled.fell.length + drilled.violations.length === 0 ? 0 : 1);
  } catch (error) {
    console.error(`members: ${(error as Error).message}`);
    Deno.exit(1);
  }
}

/** `deno task stranger`: what a node's door costs it when somebody without a credential leans on it. */
import { above, optionsOf, whole } from "../options.ts";
import { call, pause, RealCluster, residentBytes } from "./real_cluster.ts";
import { type Attack, bodies, chunks, heads, upgrades } from "./stranger_attacks.ts";

const HELP = `deno task stranger [--seconds 5] [--clients 4]

Three node processes with default settings on real files. Strangers come to the first, each kind twice: 100,000 chunks
of one byte to /paxos/acceptor without a credential, 1,000 half heads, 1,000 half bodies, 1,000 WebSockets. Meanwhile
clients of every node take and release locks of their own.

  --seconds  of each round, and of the calm before them
  --clients  of each node

Of each round: resident memory of the node after it, what that is more than after the round before (and the same of a node
that no stranger came to, which grows by its clients' requests alone), and the clients' 99th percentile as a multiple of the
one in the calm.

Exit code: 0 if no second round adds 10 MB and no percentile is above 3 times that of the calm, else 1; 2: it was not run.`;

const GROWTH_MAX_BYTES = 10_000_000;
const SLOWER_MAX = 3;
/** Memory that a round leaves is measured once its connections are gone. */
const SETTLE_MS = 1_000;
/** A young process grows by itself: it is warm once two rounds of calm have added less than this, or after so many. */
const WARM_BYTES = 3_000_000;
const WARM_UP_ROUNDS_MAX = 20;
/** What is called the calm: so many of them, the last. */
const CALM_ROUNDS = 3;

const ROUNDS: readonly { readonly what: string; readonly attack: Attack; readonly count: number }[] = [
  { what: "100,000 chunks of one byte", attack: chunks, count: 100_000 },
  { what: "1,000 half heads", attack: heads, count: 1_000 },
  { what: "1,000 half bodies", attack: bodies, count: 1_000 },
  { what: "1,000 WebSockets", attack: upgrades, count: 1_000 },
];

/** The value that 99 of 100 are not above. */
export function p99(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * 0.99) - 1] ?? NaN;
}

/** Clients that take and release locks; the milliseconds of each request go to whoever measures. */
class Clients {
  #samples: number[] = [];
  #isOver = false;
  readonly #running: Promise<void>[];

  constructor(urls: readonly string[], each: number) {
    this.#running = urls.flatMap((url, i) => Array.from({ length: each }, (_, j) => this.#run(url, `c-${i}-${j}`)));
  }

  /** How long each request took while `work` was under way. */
  async during(work: () => Promise<unknown>): Promise<readonly number[]> {
    this.#samples = [];
    await work();
    return this.#samples;
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#running);
  }

  async #run(url: string, name: string): Promise<void> {
    while (!this.#isOver) {
      const granted = await this.#timed(url, "POST", `/v1/locks/${name}`, { holder: name });
      if (granted !== null) await this.#timed(url, "DELETE", `/v1/locks/${name}/${granted}`);
      // Below what one node's caller may ask for in a second.
      await pause(50);
    }
  }

  /** The fence of a grant. */
  async #timed(url: string, method: string, path: string, body?: unknown): Promise<string | null> {
    const startMs = performance.now();
    const reply = await call(url, method, path, body);
    this.#samples.push(reply === null || reply.status !== 200 ? Infinity : performance.now() - startMs);
    return reply?.status === 200 ? String(reply.body["fence"]) : null;
  }
}

async function main(): Promise<number> {
  const values = optionsOf(HELP, {
    seconds: { type: "string", default: "5" },
    clients: { type: "string", default: "4" },
  });
  const holdMs = above("seconds", values.seconds, 0) * 1_000;
  const each = whole("clients", values.clients);
  const cluster = await RealCluster.start(3, 0, { isolates: 1 });
  const clients = new Clients(cluster.ids.map((id) => cluster.url(id)), each);
  try {
    const port = Number(new URL(cluster.url("a")).port);
    let before = await resident(cluster);
    const calmRounds: (readonly number[])[] = [];
    for (let round = 0, still = 0; round < WARM_UP_ROUNDS_MAX && still < 2; round++) {
      const samples = await clients.during(() => pause(holdMs));
      calmRounds.push(samples);
      const after = await resident(cluster);
      still = after.a - before.a < WARM_BYTES ? still + 1 : 0;
      console.log(`calm: ${grown(before, after)}, p99 ${p99(samples).toFixed(1)} ms`);
      before = after;
    }
    const calm = p99(calmRounds.slice(-CALM_ROUNDS).flat());
    let isWell = true;
    for (const { what, attack, count } of ROUNDS) {
      for (const round of [1, 2]) {
        let said = "";
        const samples = await clients.during(async () => {
          const { connections, refused } = await attack(port, count, () => pause(holdMs));
          said = `${connections} connections, ${refused} answered 401`;
        });
        const slower = p99(samples) / calm;
        await pause(SETTLE_MS);
        const after = await resident(cluster);
        const growth = after.a - before.a;
        console.log(`${what}, round ${round}: ${grown(before, after)}, p99 ${slower.toFixed(2)} × the calm; ${said}`);
        if ((round === 2 && growth >= GROWTH_MAX_BYTES) || !(slower <= SLOWER_MAX)) isWell = false;
        before = after;
      }
    }
    console.log(isWell ? "well" : "NOT WELL");
    return isWell ? 0 : 1;
  } finally {
    await clients.stop();
    await cluster.stop();
  }
}

/** Bytes of the node that strangers come to, and of another; NaN where it is not known. */
type Resident = { readonly a: number; readonly b: number };

async function resident(cluster: RealCluster): Promise<Resident> {
  const [a, b] = await Promise.all(["a", "b"].map((id) => residentBytes(cluster.pid(id))));
  return { a: a ?? NaN, b: b ?? NaN };
}

function grown(before: Resident, after: Resident): string {
  return `${(after.a / 1e6).toFixed(0)} MB resident (${signed(after.a - before.a)}; beside it ${
    signed(after.b - before.b)
  })`;
}

function signed(bytes: number): string {
  return `${bytes < 0 ? "−" : "+"}${Math.abs(bytes / 1e6).toFixed(1)} MB`;
}

if (import.meta.main) {
  try {
    Deno.exit(await main());
  } catch (error) {
    console.error((error as Error).message);
    Deno.exit(2);
  }
}

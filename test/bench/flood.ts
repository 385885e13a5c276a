/** Lock cycles that begin when they are due, whether or not those before have ended. */
import { pause } from "../chaos/real_cluster.ts";
import { Connection, type Reply } from "./connection.ts";
import { goOn } from "./stop.ts";

/** As many as there is room for beside the servers; what finds none free is refused here. */
const CONNECTIONS_MAX = 1_000;
const TTL_MS = 60_000;

export class Flood {
  readonly #urls: readonly string[];
  readonly #run: string;
  readonly #idle: Connection[] = [];
  #connections = 0;
  #isOver = false;
  begun = 0;
  /** In seconds. */
  lasted = 0;
  /** While it lasted. */
  done = 0;
  readonly refused = new Map<string, number>();

  /** @param run goes into every name; each cycle has one that nobody had before */
  constructor(urls: readonly string[], run: string) {
    this.#urls = urls;
    this.#run = run;
  }

  /** Resolves when all that was begun has its answer. */
  async run(perSecond: number, seconds: number): Promise<void> {
    const startedMs = performance.now();
    const open: Promise<void>[] = [];
    for (;;) {
      goOn();
      this.lasted = (performance.now() - startedMs) / 1_000;
      // What is due is begun, also where this process had no time for it before.
      const due = Math.min(this.lasted, seconds) * perSecond;
      while (this.begun < due) open.push(this.#cycle(`${this.#run}-${this.begun++}`));
      if (this.lasted >= seconds) break;
      await pause(1);
    }
    this.#isOver = true;
    await Promise.all(open);
    for (const connection of this.#idle) connection.close();
  }

  async #cycle(name: string): Promise<void> {
    let connection: Connection | null = null;
    try {
      connection = this.#idle.pop() ?? await this.#connect();
      if (connection === null) return this.#refuse("no connection left");
      const path = `/v1/locks/${name}`;
      const taken = await connection.request("POST", path, JSON.stringify({ holder: "flood", ttlMs: TTL_MS }));
      const released = taken.status === 200
        ? await connection.request("DELETE", `${path}/${JSON.parse(taken.text).fence}`)
        : taken;
      this.#idle.push(connection);
      if (released.status !== 200) this.#refuse(reasonOf(released));
      else if (!this.#isOver) this.done++;
    } catch {
      connection?.close();
      this.#connections--;
      this.#refuse("no answer");
    }
  }

  async #connect(): Promise<Connection | null> {
    if (this.#connections === CONNECTIONS_MAX) return null;
    return await Connection.open(this.#urls[this.#connections++ % this.#urls.length]!);
  }

  #refuse(why: string): void {
    this.refused.set(why, (this.refused.get(why) ?? 0) + 1);
  }
}

function reasonOf({ status, text }: Reply): string {
  const code = /"code":"([a-z-]+)"/.exec(text)?.[1];
  return code === undefined ? `${status}` : `${status} ${code}`;
}

/** One database as the server offers it: who may use it until when, what was done to it, what is in it. */
import { type Commit, Database } from "./database.ts";
import { Faults } from "./faults.ts";
import type { AtomicWrite, ReadRange, Row } from "./messages.ts";

/** Far from any test's end. */
const TOKEN_LIFE_MS = 24 * 3_600_000;

export type Counts = {
  /** Atomic writes that changed the database, each time: a client that tries again counts twice. */
  applied: number;
  /** Atomic writes whose checks failed. */
  refused: number;
  reads: number;
  /** Metadata asked for, and given. */
  exchanges: number;
};

export class HostedDatabase {
  readonly id: string = crypto.randomUUID();
  readonly counts: Counts = { applied: 0, refused: 0, reads: 0, exchanges: 0 };
  /** What a client's DENO_KV_ACCESS_TOKEN has to be. */
  accessToken: string;
  /**
   * How long what is issued from now on is good for. A client renews 10 s before that (but after a minute at most);
   * one that gets less than 10 s renews without any pause.
   */
  tokenLifeMs: number = TOKEN_LIFE_MS;
  readonly faults: Faults;
  readonly #database = new Database();
  /** Ends by token of the data path, in milliseconds since 1970. */
  readonly #issued = new Map<string, number>();

  constructor(accessToken: string, seed: number) {
    this.accessToken = accessToken;
    this.faults = new Faults(seed);
  }

  issueToken(): { readonly token: string; readonly expiresAt: Date } {
    this.counts.exchanges++;
    const token = crypto.randomUUID();
    const expiresAt = Date.now() + this.tokenLifeMs;
    this.#issued.set(token, expiresAt);
    return { token, expiresAt: new Date(expiresAt) };
  }

  /** The data path answers 401 to all that was issued, until clients ask for their metadata again. */
  expireTokens(): void {
    this.#issued.clear();
  }

  isGood(token: string): boolean {
    return Date.now() < (this.#issued.get(token) ?? 0);
  }

  read(ranges: readonly ReadRange[]): Row[][] {
    this.counts.reads++;
    return this.#database.read(ranges);
  }

  write(write: AtomicWrite): Commit {
    const commit = this.#database.write(write);
    if (commit.ok) this.counts.applied++;
    else this.counts.refused++;
    return commit;
  }

  /** As they lie there, in the order of their keys. */
  rows(): readonly Row[] {
    return this.#database.rows();
  }
}

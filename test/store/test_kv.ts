import type { Fault } from "../../src/store/memory_ballot_store.ts";

/** A real database whose commits and reads a test can watch, delay and break. */
export class TestKv {
  gate: Promise<void> = Promise.resolve();
  fault: Fault | "late" | "never" | null = null;
  /** Called before each commit, so that another writer can come first. */
  before: () => Promise<void> = () => Promise.resolve();
  /** Called after each commit that was made, before anybody hears of it. */
  after: () => Promise<void> = () => Promise.resolve();
  atomics = 0;
  reads = 0;
  readonly #kv: Deno.Kv;
  /** The commits that were late, in case a test must wait for them. */
  readonly late: Promise<Deno.KvCommitResult | Deno.KvCommitError>[] = [];

  constructor(kv: Deno.Kv) {
    this.#kv = kv;
  }

  asKv(): Deno.Kv {
    const kv = this.#kv;
    return {
      getMany: (keys: Deno.KvKey[]) => {
        this.reads++;
        return kv.getMany(keys);
      },
      list: kv.list.bind(kv),
      close: kv.close.bind(kv),
      atomic: () => {
        const atomic = kv.atomic();
        const commit = atomic.commit.bind(atomic);
        atomic.commit = () => this.#commit(commit);
        return atomic;
      },
    } as unknown as Deno.Kv;
  }

  async #commit(commit: Deno.AtomicOperation["commit"]): Promise<Deno.KvCommitResult | Deno.KvCommitError> {
    this.atomics++;
    const fault = this.fault;
    this.fault = null;
    const gate = this.gate;
    if (fault === "late") {
      this.late.push(gate.then(commit));
      return await new Promise(() => {});
    }
    await gate;
    await this.before();
    if (fault === "conflict") return { ok: false };
    if (fault === "never") return await new Promise(() => {});
    if (fault === "unknown-lost") throw new Error("disk I/O error");
    const result = await commit();
    await this.after();
    if (fault === "unknown-applied") throw new Error("disk I/O error");
    return result;
  }
}

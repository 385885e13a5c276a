/**
 * One name that very many use at once: a register, and in some seeds a lock. They come in bursts, so that more commands
 * than a window keeps lie between a request and its repetition. Some send a request once, some again and again with the
 * instance it was born at, some without; and some repeat it long after it was answered, as a proxy may. All values are
 * unique: what is there twice was written twice.
 */
import type { Answer, KvDeleted, KvWritten } from "../../src/api.ts";
import type { Asker, Asking, Call, Told } from "./asker.ts";
import { fenceFaults, type FenceRead, type GrantEvent } from "./check/fences.ts";
import { guaranteedUntilMs } from "./guarantee.ts";
import type { Heal } from "./heal.ts";
import type { Granted, Hold } from "./holder.ts";
import { hotName } from "./plan.ts";
import { seededRandomness } from "./virtual_time.ts";
import { NounWorkload, type WorkloadParts } from "./workload.ts";

const STREAM = 1_000;
const WRITERS = [20, 40, 60];
const LOCKERS = 12;
const BURSTS = 3;
const BURST_MS = 1_500;
/** How far apart those of one burst begin. */
const SPREAD_MS = 40;
const WRITES_PER_BURST = 2;
const REPEATS = 0.1;
const CONTENT_TYPE = "text/plain";
const TTL_MS = 5_000;
const WAIT_MS = 60_000;
const FINAL: ReadonlySet<string> = new Set([
  "precondition-failed",
  "not-found",
  "held",
  "cooling",
  "queue-full",
  "lost",
]);
/** How often a request is sent, and what is said of its birth: nothing, what was seen before, or what a node says later. */
const HABITS = ["once", "once", "once", "born", "born", "told", "bare"] as const;

type Write = KvWritten | KvDeleted;

export class HotWorkload extends NounWorkload {
  readonly #name: string;
  readonly #writers: number;
  readonly #lockers: number;
  readonly #written: GrantEvent[] = [];
  readonly #met: FenceRead[] = [];
  readonly #holds: Hold[] = [];
  /** Highest instance that anybody was told of, by key: of what is sent from now on it is the born. */
  readonly #instances = new Map<string, number>();
  readonly #late: Promise<void>[] = [];
  #last = "0";

  constructor(parts: WorkloadParts) {
    super(parts);
    const { seed } = parts.world.plan;
    const random = seededRandomness(seed, STREAM);
    this.#name = hotName(seed);
    this.#writers = random.pick(WRITERS);
    this.#lockers = random.chance(0.5) ? LOCKERS : 0;
  }

  override faults(): readonly string[] {
    return [
      ...this.clients.faults,
      ...fenceFaults(this.#written, this.#met).map((fault) => fault.replace("fence", "revision")),
      ...this.clients.exclusiveFaults(this.#holds),
    ];
  }

  override async run(): Promise<void> {
    const writers = Array.from({ length: this.#writers }, (_, i) => this.#writer(`hot-${i}`, STREAM + 1 + i));
    const lockers = Array.from({ length: this.#lockers }, (_, i) => this.#locker(`hold-${i}`, STREAM + 101 + i));
    await Promise.all([...writers, ...lockers]);
    await Promise.all(this.#late);
  }

  override async healed(heal: Heal): Promise<void> {
    const calledMs = this.clients.now();
    await heal.inTime(
      () => calledMs,
      (node, caller) => node.registers.put(this.#name, { bytes: btoa("healed"), contentType: CONTENT_TYPE }, caller),
      `${this.#register} is not writable`,
    );
    const request = { holder: "last", ttlMs: TTL_MS, waitMs: WAIT_MS, mode: "exclusive", lockDelayMs: 0 } as const;
    await heal.inTime(
      () => Math.max(calledMs, heal.freeMs(this.#lock, calledMs)),
      (node, caller) => node.locks.acquire(this.#name, request, caller),
      `${this.#lock} is not to be had`,
    );
  }

  get #register(): string {
    return `kv/${this.#name}`;
  }

  get #lock(): string {
    return `lock/${this.#name}`;
  }

  async #writer(name: string, stream: number): Promise<void> {
    const asker = this.clients.asker(stream, FINAL);
    for (let i = 0; i < BURSTS * WRITES_PER_BURST; i++) {
      if (i % WRITES_PER_BURST === 0) await this.#burst(asker, i / WRITES_PER_BURST);
      if (asker.isOver) return;
      await this.#write(asker, `${name}-${i}`);
    }
  }

  /** All begin at once, nearly. */
  async #burst(asker: Asker, burst: number): Promise<void> {
    const { clock, startMs } = this.clients.world;
    const atMs = startMs + 200 + burst * BURST_MS + asker.random.next() * SPREAD_MS;
    await asker.sleep(Math.max(0, atMs - clock.now()));
  }

  async #write(asker: Asker, id: string): Promise<void> {
    const { random } = asker;
    const how = random.pick(["put", "put", "put", "put", "cas", "delete"] as const);
    const put = { bytes: btoa(id), contentType: CONTENT_TYPE };
    const condition = how === "cas" ? { ifMatch: [this.#last] } : {};
    const call: Call<Write> = (node, caller): Promise<Answer<Write>> =>
      how === "delete"
        ? node.registers.delete(this.#name, {}, caller)
        : node.registers.put(this.#name, { ...put, ...condition }, caller);
    const calledMs = this.clients.now();
    await this.#ask(asker, this.#register, id, call, (told) => {
      const fence = revisionOf(told);
      if (fence === null) return;
      const event = { lock: this.#register, calledMs, returnedMs: this.clients.now(), fence: BigInt(fence) };
      if ("answer" in told) this.#written.push(event);
      else this.#met.push(event);
      this.#last = fence;
    });
  }

  /** Under one of the habits, and at times once more when it is long over. */
  async #ask<T>(
    asker: Asker,
    key: string,
    id: string,
    call: Call<T>,
    first: (told: Told<T>) => void,
    again: (told: Told<T>, calledMs: number) => void = () => {},
  ): Promise<Told<T> | null> {
    const { random } = asker;
    const habit = random.pick(HABITS);
    const born = habit === "born" ? { born: this.#instances.get(key) ?? 0 } : {};
    const asking: Asking = { key, ...born, takesBorn: habit === "told", ...(habit === "once" ? { tries: 1 } : {}) };
    const [repeats, afterMs] = [random.chance(REPEATS), BURST_MS * (0.3 + random.next())];
    const told = await asker.ask(id, call, asking);
    this.clients.count(told);
    this.#note(key, told);
    if (told !== null) first(told);
    if (repeats && habit !== "once" && habit !== "told") {
      this.#late.push(
        asker.sleep(afterMs).then(async () => {
          if (asker.isOver) return;
          const calledMs = this.clients.now();
          const late = await asker.ask(id, call, { ...asking, tries: 1 });
          this.#note(key, late);
          if (late !== null) again(late, calledMs);
        }),
      );
    }
    return told;
  }

  #note<T>(key: string, told: Told<T> | null): void {
    if (told === null) return;
    const receipt = "answer" in told ? told.answer.receipt : told.error.facts.receipt;
    if (receipt !== undefined) this.#instances.set(key, Math.max(receipt.instance, this.#instances.get(key) ?? 0));
  }

  async #locker(name: string, stream: number): Promise<void> {
    const asker = this.clients.asker(stream, FINAL);
    for (let i = 0; i < BURSTS * WRITES_PER_BURST; i++) {
      if (i % WRITES_PER_BURST === 0) await this.#burst(asker, i / WRITES_PER_BURST);
      if (asker.isOver) return;
      await this.#take(asker, name, `${name}-${i}`);
    }
  }

  async #take(asker: Asker, holder: string, id: string): Promise<void> {
    const { random } = asker;
    const request = {
      holder,
      ttlMs: random.pick([1_000, TTL_MS]),
      waitMs: random.pick([0, 200, 1_000]),
      mode: "exclusive",
      lockDelayMs: 0,
    } as const;
    const heldMs = random.next() * 30;
    const call: Call<Granted> = (node, caller) => node.locks.acquire(this.#name, request, caller);
    const calledMs = this.clients.now();
    const use = async (told: Told<Granted>, sentMs: number, own: string) => {
      if (!("answer" in told)) return;
      const { fence } = told.answer.body;
      // The same grant, told again.
      if (this.#holds.some((known) => known.fence === BigInt(fence))) return;
      const hold = {
        lock: this.#lock,
        calledMs: sentMs,
        returnedMs: this.clients.now(),
        fence: BigInt(fence),
        guaranteedUntilMs: guaranteedUntilMs({ ...told, rate: asker.rate }, told.answer.body),
        releasedMs: Infinity,
      };
      this.#holds.push(hold);
      await asker.sleep(heldMs);
      if (asker.isOver) return;
      hold.releasedMs = this.clients.now();
      await asker.ask(own, (node, caller) => node.locks.release(this.#name, fence, caller));
    };
    const late = (told: Told<Granted>, sentMs: number) => void this.#late.push(use(told, sentMs, `${id}-y`));
    const told = await this.#ask(asker, this.#lock, id, call, () => {}, late);
    if (told !== null) await use(told, calledMs, `${id}-x`);
  }
}

/** What an answer or a refusal says of the register: its revision then; null where it has none. */
function revisionOf(told: Told<Write>): string | null {
  if ("answer" in told) return told.answer.body.revision;
  const revision = told.error.facts.more?.["revision"];
  return typeof revision === "string" && revision !== "0" ? revision : null;
}

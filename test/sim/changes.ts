/**
 * Members that change while a run goes on. What decides on an epoch, tells of it and sweeps stands in here for the shipped
 * one: it knows at once what was decided. What nodes do about it is theirs: seals, imports, reads, and what they bring.
 */
import type { EpochConfig, EpochsRow } from "../../src/ports.ts";
import { quorumRow } from "./check/quorum_table.ts";
import { type Change, MODE_RULES } from "./plan.ts";
import { type Seeded, seededRandomness } from "./virtual_time.ts";
import type { World } from "./world.ts";

const STREAM = 60;
const LOOK_MS = 100;
/** A node that hears of an epoch does so within this time at first, and is told again after as long. */
const TELL_MS = 600;
/** What a node that dies meanwhile would have answered is not waited for. */
const GIVE_UP_MS = 3_000;

export class Changes {
  /** How many were carried through. */
  done = 0;
  /** How many epochs are retired, whoever knows it. */
  retired = 0;
  readonly #world: World;
  readonly #random: Seeded;
  #row: EpochsRow | null = null;
  #config: EpochConfig;
  #first = 1;
  #running: Promise<void> = Promise.resolve();
  readonly #adopting = new Set<string>();
  /** All that are or were members. */
  readonly #known: Set<string>;

  constructor(world: World, members: readonly string[]) {
    this.#world = world;
    this.#random = seededRandomness(world.plan.seed, STREAM);
    this.#config = configOf(0, members);
    this.#known = new Set(members);
  }

  begin(): void {
    const { clock, plan } = this.#world;
    for (const change of plan.changes) {
      if (change.atMs >= plan.faultyMs) continue;
      clock.after(change.atMs, () => this.#running = this.#running.then(() => this.#change(change)));
    }
  }

  get members(): readonly string[] {
    return this.#config.members.map(({ id }) => id);
  }

  hasLeft(id: string): boolean {
    return this.#known.has(id) && !this.members.includes(id);
  }

  /** A message was refused because its sender is in another epoch. */
  met(from: string, to: string): void {
    for (const id of [from, to]) void this.#tell(id);
  }

  /** Resolves when all that was begun is done; rejects if that takes too long. */
  async settled(allowedMs: number): Promise<void> {
    const { clock, plan } = this.#world;
    let isDone = false;
    this.#running.then(() => isDone = true);
    const dueMs = clock.now() + plan.changes.length * 10 * allowedMs;
    while (!isDone) {
      if (clock.now() > dueMs) throw new Error(`members do not become ${this.members.join("")}`);
      await clock.sleep(LOOK_MS);
    }
  }

  async #change({ members }: Change): Promise<void> {
    const world = this.#world;
    const { clock } = world;
    const before = this.#config;
    const current = configOf(before.epoch + 1, [...members]);
    const row: EpochsRow = { before, beforeFirst: this.#first, current, first: null };
    this.#row = row;
    this.#config = current;
    for (const id of members) this.#known.add(id);
    world.digest.add(clock.now(), `members ${members}`);
    world.monitor.entered(current.epoch, [...members]);
    const old = before.members.map(({ id }) => id);
    for (const id of members) {
      if (!world.ids.includes(id)) clock.after(this.#random.next() * TELL_MS, () => world.join(id, row));
    }
    const told = this.#tellAll([...new Set([...old, ...members])], row);
    await this.#sweep(old, members);
    world.monitor.retired(before.epoch, this.#first);
    this.retired++;
    this.#row = { ...row, first: this.#first };
    await told;
    await this.#tellAll([...new Set([...old, ...members])], this.#row);
    this.done++;
  }

  /** Until each has it durably. */
  async #tellAll(ids: readonly string[], row: EpochsRow): Promise<void> {
    const { clock } = this.#world;
    await Promise.all(ids.map(async (id) => {
      while (!this.#has(id, row)) {
        await clock.sleep(this.#random.next() * TELL_MS);
        await this.#tell(id);
      }
    }));
  }

  #has(id: string, row: EpochsRow): boolean {
    const world = this.#world;
    if (world.down.has(id) || !world.ids.includes(id)) return false;
    // A seal whose outcome nobody knows may be in the store though the node is still of before.
    if (world.cluster.node(id)?.status().epoch !== row.current.epoch) return false;
    const known = world.cluster.store(id)?.epochs();
    return known?.current.epoch === row.current.epoch && (row.first === null || known.first !== null);
  }

  /** Into the newest at once, as the shipped one, and never while it is at one. */
  async #tell(id: string): Promise<void> {
    const row = this.#row;
    const world = this.#world;
    if (row === null || this.#adopting.has(id) || world.down.has(id) || !world.ids.includes(id) || this.#has(id, row)) {
      return;
    }
    this.#adopting.add(id);
    try {
      await Promise.race([world.adopt(id, row), world.clock.sleep(GIVE_UP_MS)]);
    } catch {
      // Its disk failed. It has left its epoch, so nobody meets it any more: it tries again by itself, as the shipped one does.
      world.clock.after(LOOK_MS, () => void this.#tell(id));
    } finally {
      this.#adopting.delete(id);
    }
  }

  /** Lists of a quorum of sealed members, each read after its seal; then every key, through one member or another. */
  async #sweep(old: readonly string[], members: string): Promise<void> {
    const world = this.#world;
    const { clock } = world;
    const epoch = this.#config.epoch;
    const lists = new Map<string, readonly string[]>();
    while (lists.size < quorumRow(old.length).classic) {
      await clock.sleep(LOOK_MS);
      for (const id of old) {
        if (lists.has(id) || world.down.has(id) || world.epochOf(id) !== epoch) continue;
        const keys = await this.#asked(id, () => world.cluster.store(id).keys("", "", 10_000));
        if (keys !== null) lists.set(id, keys);
      }
    }
    const keys = [...new Set([...lists.values()].flat())].sort();
    await Promise.all(keys.map(async (key) => {
      for (;;) {
        const id = this.#random.pick([...members]);
        if (await this.#asked(id, () => this.#isBrought(id, key, epoch)) === true) return;
        await clock.sleep(LOOK_MS * (1 + this.#random.next()));
      }
    }));
  }

  /** As the shipped sweep: what has moved before is found out first. */
  async #isBrought(id: string, key: string, epoch: number): Promise<boolean> {
    const bringing = this.#world.cluster.node(id).bringing(epoch);
    return bringing !== null && ((await bringing.broughtOf([key])).has(key) || await bringing.bring(key));
  }

  async #asked<T>(id: string, call: () => Promise<T>): Promise<T | null> {
    const world = this.#world;
    if (world.down.has(id) || !world.ids.includes(id)) return null;
    try {
      return await world.ask(id, call, GIVE_UP_MS);
    } catch {
      return null;
    }
  }
}

function configOf(epoch: number, members: readonly string[]): EpochConfig {
  return { cluster: "test", epoch, members: members.map((id) => ({ id, url: `sim://${id}` })), modes: MODE_RULES };
}

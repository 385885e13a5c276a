/**
 * The shipped nodes in one process, in virtual time, with what they sent and what each of them knows as decided on
 * record, so that tests can say of every command that it was decided once, and how.
 */
import { assert, assertEquals } from "@std/assert";
import type { Answer, Grant, Receipt } from "../../src/api.ts";
import { sha256Hex } from "../../src/auth/digest.ts";
import { QuorateError } from "../../src/errors.ts";
import { GRANTS_PER_INSTANCE } from "../../src/limits.ts";
import { commandKey, entryOf, REPEATABLE_TAG, tagOf } from "../../src/machine/dedup.ts";
import { entriesOf, keyState } from "../../src/machine/state.ts";
import type { NodeId } from "../../src/paxos/ballot.ts";
import type { AcceptorRecord, Certificate, Mode } from "../../src/paxos/message.ts";
import { createModes, type ModeRule } from "../../src/engine/modes.ts";
import type { Clock, Meter, Trace } from "../../src/ports.ts";
import { receiptOf } from "../../src/engine/receipt.ts";
import type { Caller } from "../../src/service/service.ts";
import type { Hold, Parcel } from "../../src/transport/local_transport.ts";
import { caller, type MemoryCluster, memoryCluster, request } from "../replica/memory_cluster.ts";
import { type Seeded, seededRandomness, VirtualClock } from "../sim/virtual_time.ts";

export const SEED = Number(Deno.env.get("QUORATE_SEED") ?? 20261123);

/** Keys below `lock/MODE/` run in that mode. */
export const MODES: readonly ModeRule[] = (["fast", "uncoordinated", "classic", "multi", "prepare"] as const).map((
  mode,
) => ({ prefix: `lock/${mode}/`, mode }));

export type Observed = MemoryCluster & {
  readonly clock: VirtualClock;
  readonly random: Seeded;
  /** Every parcel that left, requests and replies, whether or not it arrived. */
  readonly parcels: readonly Parcel[];
  /** The certificates nodes held for this instance of this key, first known first. */
  decisions(key: string, instance: number): readonly Certificate[];
  /** Lets everything that is under way come to its end. */
  settle(): Promise<void>;
};

export type ObservedOptions = {
  readonly seed?: number;
  /** Keeps `parcels`; it costs memory. Default: true. */
  readonly keepParcels?: boolean;
  /** Virtual time the work may take. */
  readonly limitMs?: number;
  /** How far wall clocks are ahead at the moment. Default: not at all. */
  readonly aheadMs?: () => number;
  /** Names unused for so long are forgotten. */
  readonly forgetAfterMs?: number;
  /** The newest version of the machine that its nodes know. */
  readonly machine?: number;
  /** What counts for each node. */
  readonly meter?: (id: string) => Meter;
};

/** Long enough for every timer of a node that does not come again by itself. */
const SETTLE_MS = 3_000;
const LIMIT_MS = 120_000;

export async function withCluster(
  n: number,
  work: (cluster: Observed) => Promise<void>,
  { seed = SEED, keepParcels = true, limitMs = LIMIT_MS, aheadMs = () => 0, ...more }: ObservedOptions = {},
): Promise<void> {
  const clock = new VirtualClock();
  const random = seededRandomness(seed);
  const known = new Map<string, Certificate[]>();
  const trace: Trace = {
    on: true,
    record(seen) {
      if (seen.type !== "decided") return;
      const name = `${seen.key} ${seen.certificate.instance}`;
      const certificates = known.get(name) ?? [];
      known.set(name, certificates);
      // Agreement, wherever anybody concludes anything.
      const first = certificates[0]?.valueId ?? seen.certificate.valueId;
      assertEquals(seen.certificate.valueId, first, `${name}: two values decided`);
      certificates.push(seen.certificate);
    },
  };
  // A label is in whole milliseconds, as the real wall clock's.
  const whole: Clock = {
    now: () => clock.now(),
    wall: () => Math.floor(clock.wall()) + aheadMs(),
    after: (...a) => clock.after(...a),
  };
  const options = { clock: whole, random, modes: MODES, trace: () => trace, ...more };
  const cluster = await clock.run(memoryCluster(n, options), LIMIT_MS);
  const parcels: Parcel[] = [];
  if (keepParcels) {
    // The first to be asked, so that it also sees what a test then loses.
    cluster.network.drop((parcel) => {
      parcels.push(parcel);
      return false;
    });
  }
  const observed: Observed = {
    ...cluster,
    clock,
    random,
    parcels,
    decisions: (key, instance) => known.get(`${key} ${instance}`) ?? [],
    settle: () => clock.sleep(SETTLE_MS),
  };
  try {
    await clock.run(work(observed), limitMs);
  } finally {
    cluster.close();
  }
}

// Keys and their coordinators

/** What a fresh key begins with. */
export function initialMode(cluster: MemoryCluster, key: string): Mode {
  return createModes(cluster.ids, MODES, sha256Hex).initial(key);
}

/** A name below `prefix` whose coordinator fits; there is one among few. */
export function nameWhere(cluster: MemoryCluster, prefix: string, fits: (coordinator: NodeId) => boolean): string {
  for (let i = 0; i < 1_000; i++) {
    const name = `${prefix}${i}`;
    const mode = initialMode(cluster, `lock/${name}`);
    if (mode.kind !== "prepare" && fits(mode.coordinator)) return name;
  }
  throw new Error(`no name below ${prefix} has such a coordinator`);
}

// Collisions

export type Request = Parcel & { readonly kind: "request" };

/** A proposal in the standing ballot of the key's first instance, on its way to an acceptor. */
export function isProposal(key: string): (parcel: Parcel) => boolean {
  return ({ kind, content }) =>
    kind === "request" && content.type === "accept" && content.key === key && content.instance === 1 &&
    content.ballot[0] === 0 && content.ballot[2] === 0;
}

/** Keeps what fits; `all` resolves as soon as it is `count` parcels. */
export function holdUntil(
  cluster: MemoryCluster,
  count: number,
  test: (parcel: Parcel) => boolean,
): Hold & { readonly all: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  let seen = 0;
  const hold = cluster.network.hold((parcel) => {
    if (!test(parcel)) return false;
    if (++seen === count) resolve();
    return true;
  });
  return { ...hold, all: promise };
}

/** By receiver, the senders in the order their parcels shall arrive; receivers that are not named get the rest as sent. */
export function inOrder(orders: Readonly<Record<NodeId, string>>): (held: readonly Parcel[]) => readonly Parcel[] {
  const rank = ({ from, to }: Parcel) => orders[to]?.indexOf(from) ?? 0;
  return (held) => [...held].sort((x, y) => rank(x) - rank(y));
}

export function shuffled<T>(random: Seeded, items: readonly T[]): T[] {
  const left = [...items];
  return items.map(() => left.splice(random.below(left.length), 1)[0]!);
}

// Clients, and what they were told

export type Client = { readonly node: NodeId; readonly holder: string; readonly caller: Caller };
export type Told = { readonly client: Client; readonly receipt: Receipt; readonly fence: string | null };

export function client(node: NodeId, more: Partial<Caller> = {}): Client {
  return { node, holder: `by-${node}`, caller: caller(more) };
}

/** Asks once. Granted or held; anything else would have the client ask again, and fails the test. */
export async function acquire(cluster: MemoryCluster, name: string, by: Client): Promise<Told> {
  return await told(by, cluster.node(by.node).locks.acquire(name, request(by.holder), by.caller));
}

export async function told(by: Client, answer: Promise<Answer<Grant>>): Promise<Told> {
  try {
    const { body, receipt } = await answer;
    return { client: by, receipt, fence: body.fence };
  } catch (error) {
    assert(error instanceof QuorateError && error.code === "held", `${error}`);
    return { client: by, receipt: error.facts.receipt!, fence: null };
  }
}

export function pathOf(certificate: Certificate | undefined): Receipt["path"] {
  assert(certificate !== undefined, "it was decided");
  return receiptOf(certificate).path;
}

// The records it ends with

export function record(cluster: MemoryCluster, id: NodeId, key: string): Promise<AcceptorRecord | null> {
  return cluster.store(id).update(key, (stored) => ({ record: null, reply: stored }));
}

/** Equal on all these nodes, and there. */
export async function finalRecord(
  cluster: MemoryCluster,
  key: string,
  ids: readonly NodeId[],
): Promise<AcceptorRecord> {
  const records = await Promise.all(ids.map((id) => record(cluster, id, key)));
  const [first] = records;
  assert(first !== null && first !== undefined, `${key} has a record`);
  for (const [i, other] of records.entries()) {
    assertEquals([other?.instance, other?.stateHash], [first.instance, first.stateHash], `${key} on ${ids[i]}`);
    assertEquals(other?.stopped, undefined);
  }
  return first;
}

/** The window of a key nobody used for long, but for what may be repeated: what each command came to, oldest first. */
export function windowOf({ state }: AcceptorRecord): readonly { command: string; letter: string; numbers: string[] }[] {
  const known = keyState(state);
  const { evicted, floors = [] } = known;
  assertEquals(evicted, -1, "nothing has left the window");
  assertEquals(floors.filter(([tag]) => tag !== REPEATABLE_TAG), [], "nothing has left the window");
  return entriesOf(known).filter((item) => tagOf(item) !== REPEATABLE_TAG).map(entryOf).map((entry) => ({
    command: entry.slice(0, 16),
    letter: entry.charAt(24),
    numbers: entry.slice(25).split(","),
  }));
}

export function commandOf({ subject, idempotencyKey }: Caller): string {
  return commandKey(sha256Hex, subject, idempotencyKey);
}

/** These commands, and nothing else, are in the window, once each; none of them may be repeated anew. */
export function assertCommands(record: AcceptorRecord, callers: readonly Caller[]): void {
  const commands = windowOf(record).map(({ command }) => command);
  assertEquals([...commands].sort(), callers.map(commandOf).sort(), "each command once");
}

/**
 * Every one of these commands, and nothing else, is in the window once; one of them has the grant, with a fence of the
 * instance that granted it, and it is the one who was told so. What was hedged counts once.
 */
export function assertOnce(record: AcceptorRecord, told: readonly Told[]): void {
  const ends = [...new Map(told.map((end) => [end.client.caller.idempotencyKey, end])).values()];
  assertCommands(record, ends.map(({ client }) => client.caller));
  const granted = ends.filter(({ fence }) => fence !== null);
  assertEquals(granted.length, 1, "one client has it");
  const [{ fence, client: { caller: winner } }] = granted as [Told];
  for (const end of told.filter(({ client }) => client.caller === winner)) assertEquals(end.fence, fence);
  const grants = windowOf(record).filter(({ letter }) => letter === "g");
  assertEquals(grants.map(({ command }) => command), [commandOf(winner)], "one grant, of the one who was told so");
  const { holders, lastFence } = keyState(record.state);
  const [instance, inWindow] = grants[0]!.numbers;
  assertEquals([inWindow, lastFence, holders.map((hold) => hold.fence)], [fence, fence, [fence]]);
  assertEquals(Number(fence) - parseInt(instance!, 36) * GRANTS_PER_INSTANCE, 1, "the first grant of its instance");
}

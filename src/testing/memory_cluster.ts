/** A whole cluster in this process: the shipped nodes on memory stores, over a network that can be told to misbehave. */
import { MACHINE_OF_ALL, OWN_VERSION, SAME_VERSIONS } from "../version.ts";
import { FORGET_AFTER_MS } from "../limits.ts";
import { sha256Hex } from "../auth/digest.ts";
import { Remembered } from "../remembered.ts";
import { epochOptions } from "../compose/epoch_options.ts";
import { realClock, realRandomness } from "../compose/world.ts";
import { createMachine } from "../machine/machine.ts";
import { QuorumSystem } from "../paxos/quorum.ts";
import { createModes, type ModeRule } from "../engine/modes.ts";
import { ReplicaNode } from "../compose/node.ts";
import {
  type BallotStore,
  type Clock,
  type EpochsRow,
  type Meter,
  NO_METER,
  NO_TRACE,
  type Randomness,
  type Trace,
  type Transport,
} from "../ports.ts";
import { tracingTransport } from "../observe/tracing_transport.ts";
import { type AtomicWatch, type MemoryBallotStore, MemoryDisk, openMemoryStore } from "../store/memory_ballot_store.ts";
import { createLocalNetwork, type LocalNetwork, type Receive } from "../transport/local_transport.ts";

const HASHES_MAX = 4_096;

export type MemoryCluster = {
  /** The members. */
  readonly ids: readonly string[];
  /** The nodes that do not vote: v, w, … */
  readonly learners: readonly string[];
  readonly network: LocalNetwork;
  /** That of one process, where many serve a member. */
  node(id: string): ReplicaNode;
  /** The store of a node that has one to itself. */
  store(id: string): MemoryBallotStore;
  /** Outlives its store; to be restored only between a kill and a restart. */
  disk(id: string): MemoryDisk;
  /** The process is gone, its disk stays. */
  kill(id: string): void;
  /** Resolves once it is up; it votes as soon as a quorum has confirmed its store. */
  restart(id: string): Promise<void>;
  /** The node leaves its epoch, seals it, and another begins on its store; or it notes that the one before is retired. */
  adopt(id: string, row: EpochsRow): Promise<void>;
  /** A new member with an empty store, which begins in this epoch; resolves once it is up. */
  join(id: string, row: EpochsRow): Promise<void>;
  close(): void;
};

/** Processes that serve a member together; what is said of a node's start, death and messages is said of each of them. */
export type Shared = {
  /** Their names on the network; none of a node that has its store to itself. */
  of(id: string): readonly string[];
  memberOf(process: string): string;
  open(process: string): Promise<BallotStore>;
  /** The process is gone, the store stays. */
  crash(process: string): void;
  /** What it sends to a member goes to one of the member's processes. */
  transport(inner: Transport): Transport;
};

const UNSHARED: Omit<Shared, "open"> = {
  of: () => [],
  memberOf: (process) => process,
  crash: () => {},
  transport: (inner) => inner,
};

export type MemoryClusterOptions = {
  /** How many nodes that do not vote there are besides. Default: none. */
  readonly learners?: number;
  /** For the network, and for every node that `clockOf` gives no other. Default: the real one. */
  readonly clock?: Clock;
  readonly clockOf?: (id: string) => Clock | null;
  /** How keys use their standing ballot. */
  readonly modes?: readonly ModeRule[];
  /** For every node. Default: real. */
  readonly random?: Randomness;
  /** When a node's disk gets to its next atomic. Default: a microtask. */
  readonly schedule?: (id: string) => Promise<void>;
  /** Sees the atomics of each node's disk. Default: nobody. */
  readonly watch?: (id: string) => AtomicWatch;
  /** What stands between the network and a node; called again for each start of it. Default: nothing. */
  readonly received?: (id: string, receive: Receive) => Receive;
  /** What stands between a node and the network; called again for each start of it. Default: nothing. */
  readonly sending?: (id: string, transport: Transport) => Transport;
  /** How long a peer may take. */
  readonly deadlineMs?: number;
  /** What each node shows its messages to. Default: nothing. */
  readonly trace?: (id: string) => Trace;
  /** What counts for each node. Default: nothing. */
  readonly meter?: (id: string) => Meter;
  /** Default: every node has a store of its own. */
  readonly shared?: Shared;
  /** Hears where a message is refused because its sender is in another epoch. Default: nobody. */
  readonly otherEpoch?: (from: string, to: string) => void;
  /** Names unused for so long are forgotten. Default FORGET_AFTER_MS. */
  readonly forgetAfterMs?: number;
  /** The newest version of the machine that its nodes know. Default: what every node knows, so that they raise nothing at first. */
  readonly machine?: number;
  /** Hears the lines that a node has for its operator. Default: nobody. */
  readonly report?: (id: string, line: string) => void;
};

export async function memoryCluster(n: number, options: MemoryClusterOptions = {}): Promise<MemoryCluster> {
  const {
    clock = realClock,
    clockOf = () => null,
    deadlineMs,
    modes = [],
    trace: traceOf = () => NO_TRACE,
    meter = () => NO_METER,
    random = realRandomness,
    schedule,
    watch,
    received = (_id, receive) => receive,
    sending = (_id, transport) => transport,
    learners: learnerCount = 0,
    shared,
    otherEpoch = () => {},
    report = () => {},
    forgetAfterMs = FORGET_AFTER_MS,
    machine: known = MACHINE_OF_ALL,
  } = options;
  const group = shared ?? UNSHARED;
  const digest = hashedOnce();
  const own = { ...OWN_VERSION, machine: known };
  const versions = { ...SAME_VERSIONS, own, of: () => own };
  const ids = "abcdefghi".slice(0, n).split("");
  const learners = [..."vwxyz".slice(0, learnerCount)];
  const all = [...ids, ...learners].flatMap((id) => group.of(id).length > 0 ? group.of(id) : [id]);
  const network = createLocalNetwork(deadlineMs === undefined ? { clock } : { clock, deadlineMs });
  const quorums = new QuorumSystem(ids);
  const disks = new Map(all.filter((id) => id === group.memberOf(id)).map((id) => [id, new MemoryDisk()]));
  const nodes = new Map<string, ReplicaNode>();
  const stores = new Map<string, MemoryBallotStore>();
  const joining = new Map<string, EpochsRow>();
  /** Counts starts and kills, so that a start that was killed on its way puts nothing on the network. */
  const lives = new Map<string, number>();
  const turn = (id: string) => lives.set(id, (lives.get(id) ?? 0) + 1).get(id)!;

  async function openOwn(id: string): Promise<MemoryBallotStore> {
    const store = await openMemoryStore({
      disk: disks.get(id)!,
      run: () => random.id(),
      ...(schedule === undefined ? {} : { schedule: () => schedule(id) }),
      ...(watch === undefined ? {} : { watch: watch(id) }),
    });
    const joins = joining.get(id);
    if (store.identity() === null) {
      await store.init({ cluster: "test", id, incarnation: random.id(), config: "{}" }, joins);
    }
    stores.set(id, store);
    return store;
  }

  /** As the hash of the configurations does between processes. */
  function sameEpoch(id: string, receive: Receive): Receive {
    return (from, mailbox, messages, mark) => {
      const own = epochOf(id);
      const isOther = messages.some((message) => "epoch" in message ? message.epoch !== own : epochOf(from) !== own);
      if (!isOther) return receive(from, mailbox, messages, mark);
      otherEpoch(from, id);
      return Promise.reject(new Error("another epoch"));
    };
  }

  const epochOf = (id: string) => stores.get(id)?.epochs()?.current.epoch ?? 0;

  /** @param id of a process, where many serve a member */
  async function start(id: string): Promise<Promise<void>> {
    const life = turn(id);
    const store = disks.has(id) ? await openOwn(id) : await shared!.open(id);
    if (lives.get(id) !== life) throw new Error(`${id} was killed while it started`);
    return build(id, store, false);
  }

  /** @param resumes another node of this process has used the store */
  function build(id: string, store: BallotStore, resumes: boolean): Promise<void> {
    const row = store.epochs();
    const epochs = row === null
      ? { quorums, modes: createModes(ids, modes, digest) }
      : epochOptions({ current: row.current, row }, () => store.epochs(), digest);
    const holder: { node?: ReplicaNode } = {};
    const receive: Receive = (from, mailbox, messages, mark) =>
      holder.node!.receive(group.memberOf(from), mailbox, messages, mark);
    network.connect(id, received(id, shared === undefined ? sameEpoch(id, receive) : receive), {
      own: () => holder.node!.mark(),
      seen: (peer, mark) => holder.node!.note(group.memberOf(peer), mark),
    });
    const machine = createMachine({ digest });
    const trace = traceOf(id);
    const transport = tracingTransport(sending(id, group.transport(network.transportOf(id))), trace);
    const node = new ReplicaNode({
      id: group.memberOf(id),
      cluster: "test",
      urls: {},
      ...epochs,
      resumes,
      learners,
      machine,
      digest,
      version: "test",
      forgetAfterMs,
      report: (line) => report(id, line),
    }, { store, transport, clock: clockOf(id) ?? clock, random, machine, trace, meter: meter(id), versions });
    holder.node = node;
    nodes.set(id, node);
    return node.start();
  }

  const started: Promise<void>[] = [];
  for (const id of all) started.push(Promise.resolve(start(id)).then((confirmed) => confirmed));
  await Promise.all(started);

  return {
    ids,
    learners,
    network,
    node: (id) => nodes.get(id)!,
    store: (id) => stores.get(id)!,
    disk: (id) => disks.get(id)!,
    kill(id) {
      turn(id);
      network.disconnect(id);
      nodes.get(id)?.close();
      // The store that is open, which is not its node's yet while it starts.
      disks.get(id)?.owner?.crash();
      group.crash(id);
    },
    restart: (id) => start(id).then(() => {}),
    async adopt(id, row) {
      const store = stores.get(id)!;
      const life = lives.get(id);
      const node = nodes.get(id)!;
      // The store may have it already, where it could not say so when it was asked: then only the node is of before.
      if (node.status().epoch === row.current.epoch) return await store.seal(row);
      await node.leave();
      await store.seal(row);
      if (lives.get(id) === life) build(id, store, node.speaks);
    },
    async join(id, row) {
      disks.set(id, new MemoryDisk());
      joining.set(id, row);
      all.push(id);
      await start(id);
    },
    close() {
      for (const id of all) {
        network.disconnect(id);
        // One that joins may not be there yet.
        nodes.get(id)?.close();
      }
    },
  };
}

/** Every node hashes what every other does: here that is done once. */
function hashedOnce(): (text: string) => string {
  const known = new Remembered<string>(HASHES_MAX);
  return (text) => {
    const found = known.get(text);
    if (found !== undefined) return found;
    const hash = sha256Hex(text);
    known.set(text, hash);
    return hash;
  };
}

/**
 * The shipped roles of one cluster in one thread: every message waits until the test delivers it, loses it or
 * delivers it twice. A record is "durable" the moment its transition returns.
 */
import { stepAcceptor } from "../../src/paxos/acceptor.ts";
import { type Ballot, type NodeId, sameBallot, showBallot, STANDING } from "../../src/paxos/ballot.ts";
import {
  type CoordinatorContext,
  type CoordinatorInput,
  type CoordinatorOutput,
  type CoordinatorState,
  initialCoordinator,
  stepCoordinator,
} from "../../src/paxos/coordinator.ts";
import type {
  AcceptorMessage,
  AcceptorRecord,
  AcceptorReply,
  Certificate,
  Collision,
  Mode,
  Snapshot,
  Value,
  Vote,
} from "../../src/paxos/message.ts";
import { stepProposer } from "../../src/paxos/proposer.ts";
import {
  initialProposer,
  type ProposerContext,
  type ProposerInput,
  type ProposerOutput,
  type ProposerState,
} from "../../src/paxos/proposer_state.ts";
import { type AcceptorRules, fastBallotOf, snapshotOf } from "../../src/paxos/record.ts";
import { QuorumSystem } from "../../src/paxos/quorum.ts";
import { fresh, frozen, KEY, machine, nodesOf, rulesOf } from "./samples.ts";

export type Flight =
  | { readonly kind: "request"; readonly actor: Actor; readonly to: NodeId; readonly message: AcceptorMessage }
  | { readonly kind: "reply"; readonly actor: Actor; readonly from: NodeId; readonly reply: AcceptorReply }
  | { readonly kind: "collision"; readonly from: NodeId; readonly to: NodeId; readonly message: Collision };

export type Decision = { readonly by: NodeId; readonly value: Value; readonly certificate: Certificate };

type Which = (flight: Flight) => boolean;

/** A proposer or a coordinator: whoever gets the replies to what it sent. */
export type Actor = ProposerActor | CoordinatorActor;

export class ProposerActor {
  readonly context: ProposerContext;
  state: ProposerState = initialProposer;
  /** What its host was told, oldest first. */
  readonly told: string[] = [];
  ahead: Snapshot | null = null;

  constructor(context: ProposerContext) {
    this.context = context;
  }

  get me(): NodeId {
    return this.context.me;
  }

  get ended(): boolean {
    return this.state.phase === "done";
  }
}

export class CoordinatorActor {
  readonly context: CoordinatorContext;
  state: CoordinatorState = initialCoordinator;
  gaveUp = false;

  constructor(context: CoordinatorContext) {
    this.context = context;
  }

  get me(): NodeId {
    return this.context.me;
  }
}

export class Cluster {
  readonly nodes: readonly NodeId[];
  readonly quorums: QuorumSystem;
  readonly records = new Map<NodeId, AcceptorRecord>();
  readonly decisions: Decision[] = [];
  /** Everything sent, in order. */
  readonly sent: Flight[] = [];
  flights: Flight[] = [];
  /** Every vote ever cast: votes count for ever, not only an acceptor's last. */
  readonly #votes: { readonly from: NodeId; readonly instance: number; readonly vote: Vote }[] = [];
  readonly #chosen = new Map<number, Map<string, string>>();
  readonly #rules = new Map<NodeId, AcceptorRules>();
  readonly #coordinators = new Map<string, CoordinatorActor>();

  constructor(n: number, mode: Mode) {
    this.nodes = nodesOf(n);
    this.quorums = new QuorumSystem(this.nodes);
    for (const node of this.nodes) {
      this.#rules.set(node, rulesOf(node, n));
      this.records.set(node, frozen(fresh(mode)));
    }
  }

  record(node: NodeId): AcceptorRecord {
    return this.records.get(node)!;
  }

  /** A proposer of `value` at the instance its own record has open, or one that only finishes it. */
  proposer(me: NodeId, value: Value | null): ProposerActor {
    const opening = snapshotOf(this.record(me));
    const fast = fastBallotOf(this.record(me));
    return new ProposerActor({ me, key: KEY, epoch: 0, quorums: this.quorums, machine, opening, fast, value });
  }

  propose(me: NodeId, value: Value | null): ProposerActor {
    const proposer = this.proposer(me, value);
    this.step(proposer, { type: "start" });
    return proposer;
  }

  step(proposer: ProposerActor, input: ProposerInput): void {
    const { state, out } = stepProposer(proposer.context, frozen(proposer.state), frozen(input));
    proposer.state = state;
    for (const output of out) this.#did(proposer, output);
  }

  coordinator(me: NodeId, instance: number, ballot: Ballot = STANDING): CoordinatorActor {
    const name = `${me} ${instance} ${showBallot(ballot)}`;
    let actor = this.#coordinators.get(name);
    if (actor === undefined) {
      const freshId = `${me}/c/${instance}`;
      actor = new CoordinatorActor({ me, key: KEY, epoch: 0, instance, ballot, quorums: this.quorums, freshId });
      this.#coordinators.set(name, actor);
    }
    return actor;
  }

  /** Delivers the oldest message that fits; false if none does. */
  deliver(which: Which = () => true): boolean {
    const flight = this.flights.find(which);
    if (flight === undefined) return false;
    this.flights.splice(this.flights.indexOf(flight), 1);
    this.deliverCopy(flight);
    return true;
  }

  /** Delivers what fits, with all that comes of it, until nothing that fits is left. */
  settle(which: Which = () => true): void {
    for (let i = 0; this.deliver(which); i++) if (i > 10_000) throw new Error("messages without an end");
  }

  drop(which: Which = () => true): void {
    this.flights = this.flights.filter((flight) => !which(flight));
  }

  deliverCopy(flight: Flight): void {
    switch (flight.kind) {
      case "request": {
        const reply = this.hear(flight.to, flight.message, flight.actor.me);
        this.#post({ kind: "reply", actor: flight.actor, from: flight.to, reply });
        return;
      }
      case "reply": {
        const { actor, from, reply } = flight;
        if (actor instanceof ProposerActor) return this.step(actor, { type: "reply", from, reply });
        const record = this.record(actor.me);
        const opening = record.instance === actor.context.instance ? snapshotOf(record) : null;
        return this.#stepCoordinator(actor, { type: "reply", from, reply, opening });
      }
      case "collision":
        return this.#stepCoordinator(this.coordinator(flight.to, flight.message.instance, flight.message.ballot), {
          type: "collision",
          message: flight.message,
        });
    }
  }

  /** One acceptor hears one message now. */
  hear(to: NodeId, message: AcceptorMessage, from: NodeId | ""): AcceptorReply {
    const before = this.record(to);
    const { record, reply } = stepAcceptor(this.#rules.get(to)!, before, frozen(message), { from, seenMs: {} });
    this.records.set(to, frozen(record));
    if (record.stopped !== undefined) throw new Error(`${to} stopped: ${record.stopped}`);
    this.#noteVote(to, record);
    if (record.decidedBy !== null && record.instance > before.instance) this.#noteDecided(record.decidedBy, to);
    return frozen(reply);
  }

  /** What the host of a proposer does once it knows. */
  tellEverybody({ by, value, certificate }: Decision): void {
    const { instance } = certificate;
    for (const node of this.nodes) {
      this.hear(node, { type: "learn", key: KEY, epoch: 0, instance, certificate, value }, by);
    }
  }

  sentOf(type: AcceptorMessage["type"], from?: NodeId): number {
    return this.sent.filter((flight) =>
      flight.kind === "request" && flight.message.type === type && (from === undefined || flight.actor.me === from)
    ).length;
  }

  /** Whatever anybody concluded, or any learner could conclude from votes cast, is one value per instance. */
  disagreement(): string | null {
    for (const [instance, values] of this.#chosen) {
      if (values.size > 1) return `instance ${instance}: ${[...values].map(([id, how]) => `${id} by ${how}`).join()}`;
    }
    return null;
  }

  #did(proposer: ProposerActor, output: ProposerOutput): void {
    switch (output.type) {
      case "send":
        return this.#post({ kind: "request", actor: proposer, to: output.to, message: output.message });
      case "collision":
        return this.#post({ kind: "collision", from: proposer.me, to: output.to, message: output.message });
      case "decided":
        proposer.told.push("decided");
        return this.#decided(proposer.me, output.value, output.certificate);
      case "ahead":
        proposer.ahead = output.snapshot;
        proposer.told.push("ahead");
        return;
      default:
        proposer.told.push(output.type);
    }
  }

  #stepCoordinator(actor: CoordinatorActor, input: CoordinatorInput): void {
    const { state, out } = stepCoordinator(actor.context, frozen(actor.state), frozen(input));
    actor.state = state;
    for (const output of out) this.#didCoordinator(actor, output);
  }

  #didCoordinator(actor: CoordinatorActor, output: CoordinatorOutput): void {
    if (output.type === "send") {
      this.#post({ kind: "request", actor, to: output.to, message: output.message });
    } else if (output.type === "decided") {
      this.#decided(actor.me, output.value, output.certificate);
    } else {
      actor.gaveUp = true;
    }
  }

  #post(flight: Flight): void {
    this.sent.push(flight);
    this.flights.push(flight);
  }

  #decided(by: NodeId, value: Value, certificate: Certificate): void {
    this.decisions.push({ by, value, certificate });
    this.#noteDecided(certificate, by);
  }

  #noteDecided({ instance, valueId, kind }: Certificate, by: string): void {
    const values = this.#chosen.get(instance) ?? new Map<string, string>();
    this.#chosen.set(instance, values);
    if (!values.has(valueId)) values.set(valueId, `${by} (${kind})`);
  }

  #noteVote(from: NodeId, { instance, vote }: AcceptorRecord): void {
    if (vote === null) return;
    const same = this.#votes.filter((cast) =>
      cast.instance === instance && sameBallot(cast.vote.ballot, vote.ballot) && cast.vote.value.id === vote.value.id
    );
    if (same.some((cast) => cast.from === from)) return;
    this.#votes.push({ from, instance, vote });
    const voters = new Set([from, ...same.map((cast) => cast.from)]);
    const enough = vote.kind === "classic" ? this.quorums.isClassic(voters) : this.quorums.isOpenFast(voters);
    if (!enough) return;
    const acceptors = [...voters];
    const kind = vote.kind === "classic" ? "classic" : "open";
    this.#noteDecided(
      { instance, ballot: vote.ballot, kind, valueId: vote.value.id, acceptors },
      `votes of ${acceptors}`,
    );
  }
}

/** Requests to, or replies from, one of `nodes`. */
export function at(nodes: string): Which {
  return (flight) => nodes.includes(flight.kind === "reply" ? flight.from : flight.to);
}

/** Messages of one actor, there and back. */
export function of(actor: Actor): Which {
  return (flight) => flight.kind === "collision" ? flight.from === actor.me : flight.actor === actor;
}

export function both(a: Which, b: Which): Which {
  return (flight) => a(flight) && b(flight);
}

export const collisions: Which = (flight) => flight.kind === "collision";

export function replies(type: AcceptorReply["type"]): Which {
  return (flight) => flight.kind === "reply" && flight.reply.type === type;
}

/** A seeded source of numbers in [0, 1): mulberry32. */
export function seeded(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

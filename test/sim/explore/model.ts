/**
 * The shipped roles as a transition system: which actions a state has, and what each comes to. Everything a role does
 * is one step of the core's own functions, computed once for equal arguments.
 */
import type {
  AcceptorMessage,
  AcceptorRecord,
  AcceptorReply,
  Ballot,
  Certificate,
  Collision,
  CoordinatorContext,
  CoordinatorInput,
  FastBallot,
  Mode,
  NodeId,
  ProposerContext,
  ProposerInput,
  QuorumSystem,
  Report,
  Snapshot,
  Transition,
  Value,
} from "../../../src/paxos/mod.ts";
import { canonicalText, renamings } from "./canonical.ts";
import type { Row } from "./frontier.ts";
import { decidedIn, logMachine } from "./log_machine.ts";
import { PairMap } from "./pair_map.ts";
import type { Explicit, Plan, Sometimes } from "./plans.ts";
import {
  type CoordinatorThing,
  type ProposerThing,
  type ReaderThing,
  type RecordThing,
  type ReplyThing,
  type RequestThing,
  type Thing,
  Things,
  type VoteThing,
} from "./things.ts";

/** The module under search: the shipped one, or a copy with a bug planted. */
export type Core = typeof import("../../../src/paxos/mod.ts");

/**
 * Off, to check them: everything that differs is told apart; messages stay that can do nothing any more; replies tell
 * all that they say.
 */
export type Reductions = { readonly things: boolean; readonly messages: boolean; readonly refusals: boolean };

export const ALL_REDUCTIONS: Reductions = { things: true, messages: true, refusals: true };

export type Effect = {
  /** The part that acted, afterwards. */
  readonly next: number;
  readonly added: readonly number[];
  readonly concluded: readonly Conclusion[];
  readonly seen: readonly string[];
  /** What no run may come to. */
  readonly fault: string | null;
};

/** Somebody acts on it that this value is decided. */
export type Conclusion = { readonly instance: number; readonly value: string };

export type Visit = (part: number, effect: Effect, action: () => string) => void;

type Actor =
  | { readonly role: "proposer"; readonly node: NodeId; readonly proposes: boolean; readonly explicitBallots: number }
  /** It coordinates the standing ballot, or those that the node itself opened. */
  | { readonly role: "coordinator"; readonly node: NodeId; readonly of: "standing" | "opened" }
  | { readonly role: "reader"; readonly node: NodeId; readonly explicitBallots: 1 };

type Outputs = { readonly added: number[]; readonly concluded: Conclusion[]; readonly seen: Sometimes[] };

const KEY = "k";

export class Model {
  readonly nodes: readonly NodeId[];
  readonly things: Things;
  /** How many names a state has: one for each renaming of the nodes that differ by name only. */
  readonly names: number;
  readonly #core: Core;
  readonly #plan: Plan;
  readonly #reductions: Reductions;
  readonly #actors: readonly Actor[];
  readonly #picksIn: readonly ("standing" | "opened")[];
  readonly #quorums: QuorumSystem;
  /** What clients may send at any time: it is never used up, so no state has to tell of it. */
  readonly #fromClients: readonly number[];
  readonly #deliveries: Map<number, Effect>[] = [];
  readonly #steps = new Map<string, Effect>();
  readonly #stepsOn = new PairMap<string | readonly number[], Effect>();
  readonly #dead: Map<number, boolean>[] = [];
  readonly #voteSets = new Map<string, readonly (readonly number[])[]>();

  constructor(core: Core, plan: Plan, reductions: Reductions = ALL_REDUCTIONS) {
    this.#core = core;
    this.#plan = plan;
    this.#reductions = reductions;
    this.nodes = "abcdefghi".slice(0, plan.n).split("");
    this.#actors = actorsOf(plan);
    this.#picksIn = picksIn(plan);
    this.#quorums = new core.QuorumSystem(this.nodes);
    const owners = explicitOf(plan).map(({ x }) => x);
    const { coordinator, damages = coordinator } = plan;
    const busy = new Set([coordinator, damages, ...owners, ...this.#actors.map(({ node }) => node)]);
    const idle = renamings(this.nodes.filter((node) => !busy.has(node)));
    this.names = Object.values(reductions).every((on) => on) ? idle.length : 1;
    this.things = new Things((thing) => {
      if (!reductions.things) return [JSON.stringify(thing)];
      const ballots = thing.kind === "proposer" ? explicitBallots(this.#actors[thing.actor]!) : 0;
      return idle.slice(0, this.names).map((renaming) => canonicalText(thing, ballots, plan, renaming));
    });
    this.#fromClients = this.#clientRequests();
  }

  initial(): Row {
    const records = this.nodes.map((node) => this.#isBehind(node) ? this.#firstRecord(node) : this.#recordSoFar(node));
    const sent: number[] = [];
    const actors = this.#actors.map((actor, index) => {
      if (actor.role === "proposer") {
        const record = records[this.nodes.indexOf(actor.node)]!;
        const isSilent = actor.proposes && typeof this.#plan.ballots[0] === "object" && record.any === undefined;
        const { next, added } = isSilent ? this.#waiting(index, record) : this.#begin(index, record);
        sent.push(...added);
        return next;
      }
      return this.things.id(
        actor.role === "reader" ? { kind: "reader", actor: index, isOver: false, mustOpen: 1, views: [] } : {
          kind: "coordinator",
          actor: index,
          instance: 1,
          ballot: this.#core.STANDING,
          state: this.#core.initialCoordinator,
        },
      );
    });
    const { instances } = this.#plan;
    const known = this.#decidedBefore().map(({ id }) => id);
    const decided = this.things.id({
      kind: "decided",
      values: [...known, ...Array(instances - known.length).fill(null)],
    });
    const ids = records.map((record, i) => {
      const at = this.nodes[i]!;
      const onDisk = at === this.#plan.learned ? { onDisk: this.#votedLast(at, record) } : {};
      return this.things.id({ kind: "record", at, record, ...onDisk });
    });
    return { parts: [...ids, ...actors, decided], sent };
  }

  /** Before the search begins, where somebody is behind. */
  #decidedBefore(): readonly Value[] {
    const { behind, learned, proposers, instances } = this.#plan;
    if (behind === undefined && learned === undefined) return [];
    return Array.from({ length: instances - 1 }, (_, i) => valueOf(this.#plan, proposers[0]!, i + 1));
  }

  #isBehind(at: NodeId): boolean {
    const { behind, learned } = this.#plan;
    return behind === undefined ? learned === undefined : behind === at;
  }

  #recordSoFar(at: NodeId, decided = this.#decidedBefore()): AcceptorRecord {
    const acceptors = this.nodes.filter((node) => !this.#isBehind(node));
    return decided.reduce((record, value) => {
      const { instance } = record;
      const kind = "inclusive" as const;
      const certificate = { instance, ballot: this.#core.STANDING, kind, valueId: value.id, acceptors };
      const state = logMachine.apply(record.state, instance, value);
      const stateHash = logMachine.hash(state);
      return { ...record, instance: instance + 1, state, stateHash, decidedBy: certificate };
    }, this.#firstRecord(at));
  }

  /** One instance before, with the vote that decided it. */
  #votedLast(at: NodeId, { promised }: AcceptorRecord): AcceptorRecord {
    const values = this.#decidedBefore();
    const value = values.at(-1)!;
    const vote = { ballot: promised, kind: "fast", value } as const;
    return { ...this.#recordSoFar(at, values.slice(0, -1)), vote };
  }

  /** Fresh, but for a ballot opened before. */
  #firstRecord(at: NodeId): AcceptorRecord {
    const [first] = this.#plan.ballots;
    const record = this.#core.freshRecord(logMachine, modeOf(this.#plan));
    if (typeof first !== "object" || !first.isOpen) return record;
    const recovery = picksIn(this.#plan).length > 0 ? "uncoordinated" as const : "coordinated" as const;
    const placed = { key: KEY, epoch: 0, instance: 1, ballot: this.#core.explicitBallot(1, first.x, "o") };
    const envelope = { from: first.x, seenMs: {} };
    const prepared = this.#core.stepAcceptor(this.#rules(at), record, { ...placed, type: "prepare" }, envelope).record;
    return this.#core.stepAcceptor(this.#rules(at), prepared, { ...placed, type: "any", recovery }, envelope).record;
  }

  /** Every action of a state, always in the same order. */
  actions(row: Row, visit: Visit): void {
    for (const id of this.#fromClients) this.#deliver(row, id, visit);
    for (const id of row.sent) this.#deliver(row, id, visit);
    this.#actors.forEach((actor, index) => {
      const part = this.nodes.length + index;
      const thing = this.#thing(row.parts[part]!);
      if (thing.kind === "coordinator") this.#collisions(row, part, thing, visit);
      else if (thing.kind === "reader") this.#reads(row, part, thing, visit);
      else if (thing.kind === "proposer") this.#proposes(row, part, thing, actor, visit);
    });
    if (this.#picksIn.length > 0) this.nodes.forEach((_, part) => this.#picks(row, part, visit));
    if (this.#plan.overlaps) this.nodes.forEach((_, part) => this.#dies(row, part, visit));
    if (this.#plan.forgets) this.nodes.forEach((_, part) => this.#forgets(row, part, visit));
    if (this.#plan.damages !== undefined) this.#damages(row, this.nodes.indexOf(this.#plan.damages), visit);
  }

  /** Its record is found damaged; the others tell how far it may have voted; it takes what they hold above that. */
  #damages(row: Row, part: number, visit: Visit): void {
    const id = row.parts[part]!;
    const thing = this.#recordThing(id);
    const { at, damage } = thing;
    const isNow = (effect: Effect, what: string) => visit(part, effect, () => `${at} ${what}`);
    if (damage === undefined) {
      const lost = () => this.things.id({ ...thing, damage: { voted: null } });
      return isNow(this.#stepOn("damaged", id, 0, () => ({ ...nothing(lost()), seen: ["damaged"] })), "is damaged");
    }
    if (damage === "repaired") return;
    const some = this.nodes.flatMap((from, other) => other === part ? [] : [{ from, id: row.parts[other]! }]);
    for (let mask = 1; mask < 1 << some.length; mask++) {
      const asked = some.filter((_, i) => (mask >> i & 1) === 1);
      const memo = `${id} asks ${asked.map((other) => other.id).join()}`;
      const effect = this.#step(memo, id, () => {
        const snapshotOf = (other: number) => this.#core.snapshotOf(this.record(other));
        const standings = asked.map(({ from, id }) => ({ from, snapshot: snapshotOf(id) }));
        // What cannot be read passes for no record, where it is counted.
        standings.push({ from: at, snapshot: this.#core.snapshotOf(this.#firstRecord(at)) });
        const { voted } = damage;
        if (voted === null) {
          const known = this.#core.lastVoted(this.#quorums, at, standings);
          return nothing(known === null ? id : this.things.id({ ...thing, damage: { voted: known } }));
        }
        const snapshot = this.#core.stateAbove(this.#quorums, at, voted, standings);
        const record = snapshot === null ? null : this.#core.recordAnew(logMachine, 0, snapshot);
        if (record === null) return nothing(id);
        const concluded = decidedIn(record.state).map((value, i) => ({ instance: i + 1, value }));
        const next = this.things.id({ ...thing, record, damage: "repaired" });
        return { ...nothing(next), concluded, seen: ["repaired"] };
      });
      isNow(effect, damage.voted === null ? "asks how far it may have voted" : "takes what the others hold");
    }
  }

  /**
   * By a Learn of what its record voted for an acceptor moves on in memory, and says so to whoever asks; then it dies, and is
   * where its vote is. What it would have to write first it has not said.
   */
  #forgets(row: Row, part: number, visit: Visit): void {
    const id = row.parts[part]!;
    const before = this.record(id);
    const node = this.nodes[part]!;
    const requests = [...this.#fromClients, ...row.sent].flatMap((sent) => {
      const thing = this.#thing(sent);
      return thing.kind === "request" && thing.to === node ? [{ sent, thing }] : [];
    });
    const learn = requests.find(({ thing: { message } }) =>
      message.type === "learn" && message.certificate?.instance === before.instance &&
      message.certificate.valueId === before.vote?.value.id
    );
    if (learn === undefined) return;
    const { record: moved } = this.#handled(node, before, learn.thing);
    for (const { sent, thing } of requests) {
      const effect = this.#step(`${id} forgets ${learn.sent} after ${sent}`, id, () => {
        const { record, reply } = this.#handled(node, moved, thing);
        if (record !== moved || thing.actor < 0) return nothing(id);
        const { actor, attempt, instance } = thing;
        const answer = this.numberOf({ kind: "reply", actor, attempt, instance, from: node, reply });
        return answer === null ? nothing(id) : { ...nothing(id), added: [answer] };
      });
      visit(part, effect, () => `${node} has learned in memory, answers ${show(thing.message)}, and forgets it`);
    }
  }

  /**
   * A node dies and starts again, or its commit fails: the vote that was on its way is lost, and so is what it had learned in memory
   * only. Its proposer goes on, which is more than one that died could do.
   */
  #dies(row: Row, part: number, visit: Visit): void {
    const id = row.parts[part]!;
    const thing = this.#recordThing(id);
    if (thing.onDisk === undefined && this.#casts(row, part) === null) return;
    const effect = this.#stepOn("dies", id, 0, () => {
      const { onDisk, ...kept } = thing;
      return {
        ...nothing(this.things.id({ ...kept, record: this.#core.barring(onDisk ?? thing.record) })),
        seen: ["died"],
      };
    });
    visit(part, effect, () => `${this.nodes[part]} dies before it has written what is under way`);
  }

  /** The actor whose value has left while this record's vote for it is on its way to the disk: nothing comes in between. */
  #casts(row: Row, part: number): number | null {
    if (!this.#plan.overlaps) return null;
    const record = this.record(row.parts[part]!);
    if (record.vote !== null || (record.barred ?? 0) >= record.instance) return null;
    const casting = this.#actors.findIndex(({ node }, actor) => {
      const thing = this.#thing(row.parts[this.nodes.length + actor]!);
      return node === this.nodes[part] && thing.kind === "proposer" && thing.state.left &&
        thing.instance === record.instance;
    });
    return casting < 0 ? null : casting;
  }

  /** Whether a message of this actor's waits until the record has the vote that is on its way to it. */
  #waits(row: Row, part: number, { actor, message }: RequestThing): boolean {
    const casting = this.#casts(row, part);
    return casting !== null && (actor !== casting || message.type !== "accept");
  }

  /** Whether a message can change nothing ever again: states that differ by it alone are one. */
  isDead(id: number, parts: readonly number[]): boolean {
    if (!this.#reductions.messages) return false;
    const thing = this.#thing(id);
    if (thing.kind !== "reply" && thing.kind !== "request") return false;
    const owner = parts[this.nodes.length + thing.actor]!;
    if (thing.kind === "reply") return this.#once(id, owner, () => this.#isHeard(thing, this.#thing(owner)));
    if (this.#listens(thing, this.#thing(owner))) return false;
    const at = parts[this.nodes.indexOf(thing.to)]!;
    const { record, onDisk = record } = this.#recordThing(at);
    return this.#once(id, at, () => isVoid(this.#core, thing.message, onDisk));
  }

  /** Whether a change of that part can make the message dead. */
  concerns(id: number, part: number): boolean {
    const thing = this.#thing(id);
    if (thing.kind === "reply") return part === this.nodes.length + thing.actor;
    return thing.kind === "request" && (part === this.nodes.length + thing.actor || this.nodes[part] === thing.to);
  }

  /** The number here of a thing of another model of the same plan, or null if nothing of it can matter. */
  numberOf(thing: Thing): number | null {
    if (thing.kind !== "reply") return this.things.id(thing);
    const reply = this.#reductions.refusals ? asFact(thing.reply) : thing.reply;
    return reply === null ? null : this.things.id({ ...thing, reply });
  }

  record(id: number): AcceptorRecord {
    return this.#recordThing(id).record;
  }

  #recordThing(id: number): RecordThing {
    const thing = this.#thing(id);
    if (thing.kind !== "record") throw new Error(`${thing.kind} ${id} is no record`);
    return thing;
  }

  /** Nothing is said of it, and its own node reads nothing in it. */
  #isLost(id: number): boolean {
    const { damage } = this.#recordThing(id);
    return damage !== undefined && damage !== "repaired";
  }

  vote(id: number): VoteThing | null {
    const thing = this.#thing(id);
    return thing.kind === "vote" ? thing : null;
  }

  /** The values decided, with one more; null if another value is decided there. */
  conclude(decided: number, { instance, value }: Conclusion): number | null {
    const thing = this.#thing(decided);
    if (thing.kind !== "decided") throw new Error("not what is decided");
    const known = thing.values[instance - 1];
    if (known === value) return decided;
    return known === null ? this.things.id({ ...thing, values: thing.values.with(instance - 1, value) }) : null;
  }

  decidedAt(decided: number, instance: number): string | null {
    const thing = this.#thing(decided);
    return thing.kind === "decided" ? thing.values[instance - 1] ?? null : null;
  }

  /** As any learner concludes from these votes. */
  isChosen(votes: readonly VoteThing[]): boolean {
    const reports = votes.map(({ acceptor, vote }) => ({ from: acceptor, vote }));
    return this.#core.chosenValue(this.#quorums, votes[0]!.instance, reports) !== null;
  }

  conclusionsOf({ instance, vote }: VoteThing): readonly Conclusion[] {
    return [{ instance, value: vote.value.id }];
  }

  #thing(id: number): Thing {
    return this.things.items[id]!;
  }

  #once(id: number, part: number, judge: () => boolean): boolean {
    const known = (this.#dead[id] ??= new Map()).get(part);
    if (known !== undefined) return known;
    const dead = judge();
    this.#dead[id].set(part, dead);
    return dead;
  }

  // Messages

  #deliver(row: Row, id: number, visit: Visit): void {
    const thing = this.#thing(id);
    if (thing.kind === "request") {
      const part = this.nodes.indexOf(thing.to);
      if (this.#waits(row, part, thing)) return;
      visit(part, this.#delivery(id, row.parts[part]!, () => this.#acceptorStep(row.parts[part]!, thing)), () => {
        return `${thing.to} gets ${show(thing.message)}`;
      });
    } else if (thing.kind === "reply") {
      const part = this.nodes.length + thing.actor;
      const effect = thing.reply.type === "behind"
        ? this.#answerBehind(row, part, id, thing)
        : this.#delivery(id, row.parts[part]!, () => this.#replyStep(row.parts[part]!, thing, null));
      visit(part, effect, () => `${this.#nameOf(thing.actor)} gets ${thing.reply.type} from ${thing.from}`);
    }
  }

  #delivery(id: number, part: number, step: () => Effect): Effect {
    const known = (this.#deliveries[id] ??= new Map()).get(part);
    if (known !== undefined) return known;
    const effect = this.#safely(part, step);
    this.#deliveries[id].set(part, effect);
    return effect;
  }

  #handled(at: NodeId, before: AcceptorRecord, { actor, message }: RequestThing): Transition {
    const from = actor < 0 ? "" : this.#actors[actor]!.node;
    return this.#core.stepAcceptor(this.#rules(at), before, message, { from, seenMs: {} });
  }

  #acceptorStep(part: number, request: RequestThing): Effect {
    const { actor, attempt, instance, to } = request;
    if (this.#isLost(part)) return nothing(part);
    const before = this.record(part);
    const { record, reply } = this.#handled(to, before, request);
    const { type } = request.message;
    const isInMemory = this.#plan.overlaps === true && type === "learn" && record.instance === before.instance + 1 &&
      before.vote?.value.id === record.decidedBy?.valueId;
    const effect = this.#recorded(part, before, record, isInMemory);
    const seen = [...effect.seen];
    if (reply.type === "ahead") seen.push("ahead");
    if (reply.type === "behind") seen.push("behind");
    if (reply.type === "decided" && record !== before) seen.push("inclusive");
    const answer = actor < 0 ? null : this.numberOf({ kind: "reply", actor, attempt, instance, from: to, reply });
    return answer === null ? { ...effect, seen } : { ...effect, seen, added: [...effect.added, answer] };
  }

  /** What follows for all to see from what an acceptor has made durable. */
  #recorded(part: number, before: AcceptorRecord, record: AcceptorRecord, isInMemory = false): Effect {
    const thing = onDiskOf(this.#recordThing(part), record, isInMemory);
    const { at } = thing;
    const added: number[] = [];
    const seen: Sometimes[] = [];
    const { vote, instance } = record;
    if (vote !== null && vote !== before.vote) {
      added.push(this.things.id({ kind: "vote", acceptor: at, instance, vote }));
      if (vote.ballot[2] === 1) seen.push("recovery");
    }
    if (record.any !== undefined && before.any === undefined) seen.push("opened");
    const moved = instance > before.instance;
    if (moved && before.vote?.value.id !== decidedIn(record.state)[before.instance - 1]) seen.push("installed");
    const concluded = moved ? decidedIn(record.state).map((value, i) => ({ instance: i + 1, value })) : [];
    const fault = record.stopped === undefined ? null : `acceptor ${at} stopped: ${record.stopped}`;
    return { next: this.things.id({ ...thing, record }), added, concluded, seen, fault };
  }

  #replyStep(part: number, message: ReplyThing, opening: Snapshot | null): Effect {
    const thing = this.#thing(part);
    if (!this.#listens(message, thing)) return nothing(part);
    const { from, reply } = message;
    return thing.kind === "coordinator"
      ? this.#coordinate(thing, { type: "reply", from, reply, opening })
      : this.#propose(thing as ProposerThing, { type: "reply", from, reply });
  }

  /** The coordinator's host looks up what the one behind needs in its own record. */
  #answerBehind(row: Row, part: number, id: number, thing: ReplyThing): Effect {
    const own = row.parts[this.nodes.indexOf(this.#actors[thing.actor]!.node)]!;
    return this.#step(`${row.parts[part]} behind ${id} ${own}`, row.parts[part]!, () => {
      const snapshot = this.#core.snapshotOf(this.record(own));
      const isThere = snapshot.instance === thing.instance && !this.#isLost(own);
      return this.#replyStep(row.parts[part]!, thing, isThere ? snapshot : null);
    });
  }

  #listens({ instance, attempt, actor }: RequestThing | ReplyThing, owner: Thing): boolean {
    if (actor < 0) return false;
    if (owner.kind !== "proposer" && owner.kind !== "coordinator") return false;
    return owner.instance === instance && attemptOf(owner) === attempt && owner.state.phase !== "done";
  }

  /** Nobody listens any more, or it said it before. */
  #isHeard(thing: ReplyThing, owner: Thing): boolean {
    if (!this.#listens(thing, owner)) return true;
    const { from, reply } = thing;
    if (owner.kind === "coordinator") {
      const { phase, accepted } = owner.state;
      if (phase !== "accept") return false;
      return reply.type === "picked" || reply.type === "undecided" ||
        (reply.type === "accepted" && accepted.includes(from));
    }
    if (owner.kind !== "proposer" || !("ballot" in reply)) return false;
    const { state } = owner;
    // Ballots only rise: what was said in one that the proposer has left, or of a phase it has ended, is over.
    const order = this.#core.compareBallots(reply.ballot, state.ballot);
    if (order !== 0) return order < 0;
    if (reply.type === "promise") {
      return state.phase !== "prepare" || state.promises.some((promise) => promise.from === from);
    }
    return reply.type === "accepted" && state.phase === "accept" && state.accepted.includes(from);
  }

  // Proposers

  #proposes(row: Row, part: number, thing: ProposerThing, actor: Actor, visit: Visit): void {
    const id = row.parts[part]!;
    if (thing.state.phase !== "done" && thing.prepared < explicitBallots(actor)) {
      const prepared = thing.prepared + 1;
      // Never one ballot for two attempts, or for a read and a write of one node.
      const nonce = [prepared, ...(attemptOf(thing) === 0 ? [] : [attemptOf(thing)]), ...(thing.mustOpen ? ["r"] : [])]
        .join(".");
      for (const highestN of this.#ballotsMet(row, thing)) {
        const effect = this.#stepOn("prepare", id, highestN, () => {
          const state = { ...thing.state, highestN };
          return this.#propose({ ...thing, prepared, state }, { type: "prepare", nonce });
        });
        visit(part, effect, () => `${this.#nameOf(thing.actor)} prepares above ${highestN}`);
      }
    }
    const own = row.parts[this.nodes.indexOf(actor.node)]!;
    if (this.#plan.overlaps && this.#mayCast(thing, actor, this.record(own))) {
      const effect = this.#stepOn("casting", id, own, () => {
        return { ...this.#propose(thing, { type: "casting" }), seen: ["casting"] };
      });
      visit(part, effect, () => `${this.#nameOf(thing.actor)} sends its value while its own vote is written`);
    }
    if (thing.mustOpen !== undefined || this.#isLost(own)) return;
    if (!this.#beginsAnew(thing, actor, this.record(own))) return;
    const effect = this.#stepOn("begin", id, own, () => this.#begin(thing.actor, this.record(own)));
    const { instance } = this.record(own);
    visit(part, effect, () => `${this.#nameOf(thing.actor)} begins at instance ${instance} as its record stands`);
  }

  /** As its host has it: the own vote would be the next thing that is written of the record. */
  #mayCast({ state, instance, fast }: ProposerThing, { node }: Actor, own: AcceptorRecord): boolean {
    if (state.phase !== "self-vote" || own.instance !== instance || fast === null || own.vote !== null) return false;
    const { STANDING, sameBallot } = this.#core;
    const isBarred = this.#core.barredAt(own, instance).barred !== undefined;
    return !isBarred && sameBallot(own.promised, STANDING) && sameBallot(fast.ballot, STANDING) && node !== "";
  }

  /**
   * What is left to do goes into the instance that the own record has reached, whatever became of the last, or into the
   * ballot that the own record knows to be open.
   */
  #beginsAnew(thing: ProposerThing, actor: Actor, own: AcceptorRecord): boolean {
    if (own.instance > this.#plan.instances) return false;
    if (own.instance !== thing.instance) return own.instance > thing.instance;
    if (own.any === undefined || thing.state.phase === "done") return false;
    const known = thing.fast?.ballot ?? this.#core.STANDING;
    return actor.role === "proposer" && actor.proposes && this.#core.compareBallots(own.any.ballot, known) > 0;
  }

  /** A proposer may have been refused for the promise of any acceptor, or of none. */
  #ballotsMet(row: Row, { instance, state }: ProposerThing): ReadonlySet<number> {
    const records = this.nodes.map((_, part) => this.record(row.parts[part]!));
    const promised = records.filter((record) => record.instance === instance).map((record) => record.promised[0]);
    return new Set([state.highestN, ...promised.filter((n) => n > state.highestN)]);
  }

  #begin(actor: number, own: AcceptorRecord): Effect {
    return this.#propose(this.#proposer(actor, own), { type: "start" });
  }

  /** Until a ballot is opened. */
  #waiting(actor: number, own: AcceptorRecord): Effect {
    return nothing(this.things.id(this.#proposer(actor, own)));
  }

  #proposer(actor: number, own: AcceptorRecord): ProposerThing {
    const opening = this.#core.snapshotOf(own);
    const fast = this.#core.fastBallotOf(own);
    const state = this.#core.initialProposer;
    return { kind: "proposer", actor, instance: opening.instance, prepared: 0, opening, fast, state };
  }

  #propose(thing: ProposerThing, input: ProposerInput): Effect {
    const { actor, instance, opening, fast, mustOpen } = thing;
    const role = this.#actors[actor]!;
    const value = role.role === "proposer" && role.proposes ? valueOf(this.#plan, role.node, instance) : null;
    const base = { key: KEY, epoch: 0, quorums: this.#quorums, machine: logMachine };
    const context: ProposerContext = { ...base, me: role.node, opening, fast, value };
    const { state, out } = this.#core.stepProposer(context, thing.state, input);
    const outputs: Outputs = { added: [], concluded: [], seen: [] };
    let fault: string | null = null;
    for (const output of out) {
      if (output.type === "send") this.#send(outputs, thing, output.to, output.message);
      else if (output.type === "decided") {
        const { certificate, value } = output;
        this.#conclude(outputs, thing, certificate, value);
      } else if (output.type === "ahead" && instance < this.#plan.instances) {
        const { snapshot } = output;
        const message = { type: "learn", key: KEY, epoch: 0, instance: snapshot.instance, certificate: null, snapshot };
        this.#send(outputs, thing, role.node, message as AcceptorMessage);
      } else if (output.type === "idle" && mustOpen !== undefined) {
        outputs.seen.push("read", "read settled");
        fault = staleness(mustOpen, opening);
      }
    }
    return { next: this.things.id({ ...thing, state }), ...outputs, fault };
  }

  #send(outputs: Outputs, from: ProposerThing | CoordinatorThing, to: NodeId, message: AcceptorMessage): void {
    const { actor, instance } = from;
    outputs.added.push(this.things.id({ kind: "request", actor, attempt: attemptOf(from), instance, to, message }));
  }

  /** With a Learn to everybody, the own record too; where no later instance follows nothing but a repair would come of it. */
  #conclude(
    outputs: Outputs,
    by: ProposerThing | CoordinatorThing,
    certificate: Certificate,
    value: Value,
  ): void {
    const { instance } = certificate;
    outputs.concluded.push({ instance, value: certificate.valueId });
    const { instances, damages } = this.#plan;
    if (instance === instances && (damages === undefined || instances === 1)) return;
    const message = { type: "learn", key: KEY, epoch: 0, instance, certificate, value } as const;
    for (const to of this.nodes) this.#send(outputs, by, to, message);
  }

  // Recovery

  #collisions(row: Row, part: number, thing: CoordinatorThing, visit: Visit): void {
    const actor = this.#actors[thing.actor]!;
    for (const [ballot, instance, votes] of this.#fastVotes(row, actor.node)) {
      const isMine = ballot[0] === 0
        ? actor.role === "coordinator" && actor.of === "standing"
        : this.#opened(actor, ballot);
      const newer = instance - thing.instance || this.#core.compareBallots(ballot, thing.ballot);
      if (!isMine || newer < 0 || (newer === 0 && thing.state.phase !== "gather")) continue;
      for (const opening of this.#openings(row, instance)) {
        for (const ids of this.#enough(votes)) {
          const id = row.parts[part]!;
          const effect = this.#stepOn(ids, id, opening ?? -1, () => {
            const state = newer === 0 ? thing.state : this.#core.initialCoordinator;
            const reports = this.#reportsOf(ids);
            const base = { type: "collision", key: KEY, epoch: 0, instance, ballot, reports } as const;
            const message: Collision = { ...base, ...this.#alignment(opening) };
            return this.#coordinate({ ...thing, instance, ballot, state }, { type: "collision", message });
          });
          visit(part, effect, () => `${this.#nameOf(thing.actor)} hears of the votes ${this.#showVotes(ids)}`);
        }
      }
    }
  }

  #opened(actor: Actor, ballot: Ballot): boolean {
    return actor.role === "coordinator" && actor.of === "opened" && this.#core.ballotOwner(ballot) === actor.node;
  }

  /** The proposers that can report at an instance: what opened it for them, as a coordinator may need to know. */
  #openings(row: Row, instance: number): readonly (number | null)[] {
    if (instance === 1) return [null];
    return row.parts.filter((id) => {
      const thing = this.#thing(id);
      return thing.kind === "proposer" && thing.instance === instance && thing.state.phase !== "done";
    });
  }

  #alignment(opening: number | null): Pick<Collision, "decided"> {
    const thing = opening === null ? null : this.#thing(opening);
    return thing?.kind === "proposer" && thing.opening.decidedBy !== null ? { decided: thing.opening.decidedBy } : {};
  }

  #coordinate(thing: CoordinatorThing, input: CoordinatorInput): Effect {
    const { actor, instance, ballot } = thing;
    const me = this.#actors[actor]!.node;
    const base = { key: KEY, epoch: 0, quorums: this.#quorums, instance, ballot };
    const context: CoordinatorContext = { ...base, me, freshId: `${me}/${actor}/c${instance}.${ballot.join(".")}` };
    const { state, out } = this.#core.stepCoordinator(context, thing.state, input);
    const outputs: Outputs = { added: [], concluded: [], seen: [] };
    for (const output of out) {
      if (output.type === "send") this.#send(outputs, thing, output.to, output.message);
      else if (output.type === "decided") this.#conclude(outputs, thing, output.certificate, output.value);
    }
    return { next: this.things.id({ ...thing, state }), ...outputs, fault: null };
  }

  /** Uncoordinated recovery: an acceptor's own pick from votes it has heard of. */
  #picks(row: Row, part: number, visit: Visit): void {
    const id = row.parts[part]!;
    const at = this.nodes[part]!;
    const before = this.record(id);
    if (this.#isLost(id) || this.#casts(row, part) !== null) return;
    for (const [ballot, instance, votes] of this.#fastVotes(row, at)) {
      if (instance !== before.instance || !this.#picksIn.includes(ballot[0] === 0 ? "standing" : "opened")) continue;
      for (const ids of this.#enough(votes)) {
        const effect = this.#stepOn(ids, id, 0, () => {
          const reports = this.#reportsOf(ids);
          const message = { type: "pick", key: KEY, epoch: 0, instance, ballot, reports } as const;
          const { record } = this.#core.stepAcceptor(this.#rules(at), before, message, { from: at, seenMs: {} });
          return this.#recorded(id, before, record);
        });
        visit(part, effect, () => `${at} picks from the votes ${this.#showVotes(ids)}`);
      }
    }
  }

  /** The votes of each fast ballot but those of one acceptor. */
  #fastVotes(row: Row, but: NodeId): Iterable<readonly [Ballot, number, readonly number[]]> {
    const found = new Map<string, [Ballot, number, number[]]>();
    for (const id of row.sent) {
      const thing = this.#thing(id);
      if (thing.kind !== "vote" || thing.vote.kind !== "fast" || thing.acceptor === but) continue;
      const { ballot } = thing.vote;
      const name = `${thing.instance} ${ballot[0]} ${ballot[1]}`;
      const known = found.get(name);
      if (known === undefined) found.set(name, [ballot, thing.instance, [id]]);
      else known[2].push(id);
    }
    return found.values();
  }

  /**
   * Every set of these votes that with one report more is a phase-1 quorum. Smaller ones only wait for more, and so do
   * reports that come in during a pick, so they may as well come later.
   */
  #enough(votes: readonly number[]): readonly (readonly number[])[] {
    const known = this.#voteSets.get(votes.join());
    if (known !== undefined) return known;
    const sets: number[][] = [];
    for (let mask = 1; mask < 1 << votes.length; mask++) {
      const set = votes.filter((_, i) => (mask >> i & 1) === 1);
      if (set.length >= this.#quorums.sizes.classic - 1) sets.push(set);
    }
    this.#voteSets.set(votes.join(), sets);
    return sets;
  }

  #reportsOf(votes: readonly number[]): Report[] {
    return votes.map((id) => this.vote(id)!).map(({ acceptor, vote }) => ({ from: acceptor, vote }));
  }

  // Reads

  /** The read begins with its first view: to begin it earlier would only ask less of it. */
  #reads(row: Row, part: number, thing: ReaderThing, visit: Visit): void {
    if (thing.isOver) return;
    const id = row.parts[part]!;
    const decided = row.parts.at(-1)!;
    const values = this.#thing(decided);
    const newest = values.kind === "decided" ? values.values.filter((value) => value !== null).length : 0;
    const mustOpen = thing.views.length === 0 ? newest + 1 : thing.mustOpen;
    this.nodes.forEach((node, at) => {
      if (thing.views.some(({ from }) => from === node)) return;
      const record = row.parts[at]!;
      if (this.#isLost(record)) return;
      const effect = this.#stepOn(`views from ${mustOpen}`, id, record, () => {
        const { vote } = this.record(record);
        const view = { from: node, snapshot: this.#core.snapshotOf(this.record(record)), vote };
        return this.#view({ ...thing, mustOpen, views: [...thing.views, view] });
      });
      visit(part, effect, () => `the reader sees ${node}`);
    });
    const judgement = this.#core.judgeRead(this.#quorums, thing.views);
    if (judgement?.type !== "unsettled" || judgement.snapshot.instance > this.#plan.instances) return;
    const { actor } = thing;
    const opening = judgement.snapshot;
    const own = row.parts[this.nodes.indexOf(this.#actors[actor]!.node)]!;
    const record = this.record(own);
    const fast: FastBallot | null = record.instance === opening.instance ? this.#core.fastBallotOf(record) : null;
    const state = this.#core.initialProposer;
    const settling: ProposerThing = {
      kind: "proposer",
      actor,
      instance: opening.instance,
      prepared: 0,
      opening,
      fast,
      mustOpen,
      state,
    };
    const effect = this.#stepOn("settle", id, own, () => this.#propose(settling, { type: "start" }));
    visit(part, effect, () => "the reader settles what it saw");
  }

  #view(thing: ReaderThing): Effect {
    const judgement = this.#core.judgeRead(this.#quorums, thing.views);
    if (judgement === null || judgement.type === "unsettled" || judgement.type === "contradicted") {
      return nothing(this.things.id(thing));
    }
    const over = this.things.id({ ...thing, isOver: true, mustOpen: 0, views: [] });
    const effect: Effect = { ...nothing(over), seen: ["read"] };
    const { snapshot } = judgement;
    const known = decidedIn(snapshot.state).map((value, i) => ({ instance: i + 1, value }));
    if (judgement.type === "state") return { ...effect, concluded: known, fault: staleness(thing.mustOpen, snapshot) };
    const value = judgement.chosen.value.id;
    return { ...effect, concluded: [...known, { instance: snapshot.instance, value }] };
  }

  // Steps

  #step(memo: string, part: number, step: () => Effect): Effect {
    const known = this.#steps.get(memo);
    if (known !== undefined) return known;
    const effect = this.#safely(part, step);
    this.#steps.set(memo, effect);
    return effect;
  }

  /**
   * As `#step`, of nearly all steps: numbers are found faster than texts that are put together.
   *
   * @param how a list stands for itself, whatever else is of the same numbers
   */
  #stepOn(how: string | readonly number[], part: number, other: number, step: () => Effect): Effect {
    const known = this.#stepsOn.get(how, part, other);
    if (known !== undefined) return known;
    const effect = this.#safely(part, step);
    this.#stepsOn.set(how, part, other, effect);
    return effect;
  }

  #safely(part: number, step: () => Effect): Effect {
    try {
      return step();
    } catch (error) {
      return { ...nothing(part), fault: `a role failed: ${(error as Error).message}` };
    }
  }

  #rules(me: NodeId) {
    return { me, quorums: this.#quorums, machine: logMachine };
  }

  /**
   * A client may send anything: its own value in any ballot it can name, and values in the name of others. Whatever
   * is refused adds no state.
   */
  #clientRequests(): readonly number[] {
    const { STANDING, STANDING_RECOVERY, explicitBallot, recoveryOf } = this.#core;
    const attempts = this.#actors.flatMap((actor) =>
      Array.from({ length: explicitBallots(actor) }, (_, i) => ({ node: actor.node, nonce: String(i + 1) }))
    );
    const explicit = attempts.flatMap(({ node, nonce }) => attempts.map((_, i) => explicitBallot(i + 1, node, nonce)));
    const opened = this.#firstRecord("a").any?.ballot;
    return Array.from({ length: this.#plan.clients }).flatMap((_, i) => {
      const name = "xyz"[i]!;
      const own: Value = { id: name, proposer: "", commands: [commandOf(name)] };
      const inOpened = opened === undefined ? [] : [opened, recoveryOf(opened)];
      const ballots = [STANDING, STANDING_RECOVERY, ...explicit, ...inOpened];
      const sent = ballots.map((ballot) => ({ ballot, value: own }));
      const forged = this.#plan.proposers.map((proposer) => {
        return { ballot: STANDING, value: { ...own, id: `${proposer}/forged/${name}`, proposer } };
      });
      return [...sent, ...forged].flatMap(({ ballot, value }) =>
        this.nodes.map((to) => {
          const message = { type: "accept", key: KEY, epoch: 0, instance: 1, ballot, value } as const;
          return this.things.id({ kind: "request", actor: -1, attempt: 0, instance: 1, to, message });
        })
      );
    });
  }

  #nameOf(actor: number): string {
    const { role, node } = this.#actors[actor]!;
    return `${role} ${node}`;
  }

  #showVotes(ids: readonly number[]): string {
    return this.#reportsOf(ids).map(({ from, vote }) => `${from}:${vote?.value.id}`).join();
  }
}

/** With what is on disk: what a Learn of the own vote leaves, until anything else of the record is written. */
function onDiskOf(thing: RecordThing, record: AcceptorRecord, isInMemory: boolean): RecordThing {
  if (record === thing.record) return thing;
  const { onDisk: _, ...rest } = thing;
  return isInMemory ? { ...rest, onDisk: thing.record } : rest;
}

function nothing(part: number): Effect {
  return { next: part, added: [], concluded: [], seen: [], fault: null };
}

function staleness(mustOpen: number, { instance }: Snapshot): string | null {
  if (instance >= mustOpen) return null;
  return `a read answered with what opens instance ${instance}, though ${mustOpen - 1} was decided before it began`;
}

/** An actor's attempts at one instance: by the fast ballot that it proposes in or recovers. */
function attemptOf(thing: ProposerThing | CoordinatorThing): number {
  return (thing.kind === "coordinator" ? thing.ballot : thing.fast?.ballot)?.[0] ?? 0;
}

function explicitOf({ ballots }: Plan): readonly Explicit[] {
  return ballots.flatMap((ballot) => typeof ballot === "object" ? [ballot] : []);
}

function actorsOf(plan: Plan): readonly Actor[] {
  const { ballots, proposers, coordinator, coordinators, reader } = plan;
  const explicit = explicitOf(plan);
  const nodes = [...new Set([...proposers, ...explicit.filter(({ isOpen }) => !isOpen).map(({ x }) => x)])];
  const standing: Actor = { role: "coordinator", node: coordinator, of: "standing" };
  return [
    ...nodes.map((node): Actor => ({
      role: "proposer",
      node,
      proposes: proposers.includes(node),
      explicitBallots: explicit.filter(({ x, isOpen }) => x === node && !isOpen).length,
    })),
    ...(ballots.includes("C") ? Array<Actor>(coordinators ?? 1).fill(standing) : []),
    ...explicit.filter(({ then }) => then === "C").map(({ x: node }): Actor => ({
      role: "coordinator",
      node,
      of: "opened",
    })),
    ...(reader === undefined ? [] : [{ role: "reader", node: reader, explicitBallots: 1 } as const]),
  ];
}

/** Which fast ballots the acceptors recover by themselves. */
function picksIn(plan: Plan): readonly ("standing" | "opened")[] {
  return [
    ...(plan.ballots.includes("U") ? ["standing" as const] : []),
    ...(explicitOf(plan).some(({ then }) => then === "U") ? ["opened" as const] : []),
  ];
}

function explicitBallots(actor: Actor): number {
  return actor.role === "coordinator" ? 0 : actor.explicitBallots;
}

function modeOf(plan: Plan): Mode {
  const { ballots, coordinator } = plan;
  if (ballots[0] === "K") return { kind: "classic", coordinator };
  return { kind: "fast", recovery: picksIn(plan).length > 0 ? "uncoordinated" : "coordinated", coordinator };
}

function commandOf(id: string) {
  return { subject: "s", id, born: 1, op: { type: "x" } };
}

function valueOf({ nextMode }: Plan, node: NodeId, instance: number): Value {
  const id = `${node}/v/${instance}`;
  const value = { id, proposer: node, commands: [commandOf(id)] };
  return nextMode === undefined || instance > 1 ? value : { ...value, nextMode };
}

/** Whether the record will refuse it, or has done what it asks, for ever: promises and instances only rise. */
function isVoid(core: Core, message: AcceptorMessage, record: AcceptorRecord): boolean {
  if (message.type === "learn") {
    return record.instance > (message.certificate?.instance ?? (message.snapshot?.instance ?? Infinity) - 1);
  }
  if (message.instance !== record.instance) return message.instance < record.instance;
  if (message.type === "prepare") return core.compareBallots(message.ballot, record.promised) <= 0;
  if (message.type !== "accept" && message.type !== "any") return false;
  const order = core.compareBallots(message.ballot, record.promised);
  const isSame = (known: { readonly ballot: Ballot } | null | undefined) =>
    !!known && core.sameBallot(known.ballot, message.ballot);
  return order < 0 || (order === 0 && (isSame(record.vote) || (message.type === "any" && isSame(record.any))));
}

/**
 * What a reply tells about votes, or null: that a promise stands in the way only decides when to time out and above
 * what to prepare, and here a timeout may come at any time and above any promise. Without this the same fact travels
 * in dozens of disguises.
 */
function asFact(reply: AcceptorReply): AcceptorReply | null {
  switch (reply.type) {
    case "refused":
      return reply.vote?.ballot.join() === reply.ballot.join() ? { ...reply, promised: reply.ballot } : null;
    case "rejected":
    case "learned":
      return null;
    default:
      return reply;
  }
}

function show(message: AcceptorMessage): string {
  const what = message.type === "accept" ? ` ${message.value.id}` : "";
  const ballot = "ballot" in message ? ` ${message.ballot.join(".")}` : "";
  return `${message.type} at ${message.instance}${ballot}${what}`;
}

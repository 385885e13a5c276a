/**
 * Explicit-state search over the shipped roles: every interleaving, loss, duplication and reordering of the
 * messages of one instance. Sent messages stay in a set, to be delivered at any time, any number of times or never.
 *
 * The roles are pure, so equal (record, message) pairs always step alike: everything is interned to small numbers
 * and every step is computed once. A state is then a row of numbers.
 */
import type {
  AcceptorMessage,
  AcceptorRecord,
  AcceptorReply,
  CoordinatorContext,
  CoordinatorInput,
  CoordinatorOutput,
  CoordinatorState,
  ProposerContext,
  ProposerInput,
  ProposerOutput,
  ProposerState,
  Report,
  Value,
  Vote,
} from "../../../src/paxos/mod.ts";
import { logMachine } from "./log_machine.ts";
import type { Plan } from "./plans.ts";

/** The module under search: the shipped one, or a copy with a bug planted. */
export type Core = typeof import("../../../src/paxos/mod.ts");

export type Verdict = {
  readonly states: number;
  /** False if the bound on states ended the search. */
  readonly complete: boolean;
  /** What went wrong and the actions that lead there, or null. */
  readonly violation: { readonly what: string; readonly script: readonly string[] } | null;
  /** How many states each "sometimes" property was seen in: a search that never gets there proves nothing. */
  readonly sometimes: Readonly<Record<Sometimes, number>>;
};

export type Sometimes = "inclusive" | "open" | "classic" | "recovered" | "collision" | "ahead";

type Message =
  | { readonly kind: "request"; readonly actor: number; readonly to: number; readonly message: AcceptorMessage }
  | { readonly kind: "reply"; readonly actor: number; readonly from: number; readonly reply: AcceptorReply }
  /**
   * Votes count for ever once sent, not only the last of an acceptor. The coordinator may hear of any of them at
   * any time, whoever tells it: more than the collision messages of the proposers could do.
   */
  | { readonly kind: "vote"; readonly acceptor: string; readonly vote: Vote }
  | { readonly kind: "decided"; readonly by: string; readonly how: string; readonly value: string };

type Actor =
  | { readonly role: "proposer"; readonly state: ProposerState; readonly prepared: number }
  | { readonly role: "coordinator"; readonly state: CoordinatorState };

/** Gives equal things one number. */
class Interned<T> {
  readonly items: T[] = [];
  readonly #ids = new Map<string, number>();

  id(item: T): number {
    const text = JSON.stringify(item);
    const known = this.#ids.get(text);
    if (known !== undefined) return known;
    this.items.push(item);
    this.#ids.set(text, this.items.length - 1);
    return this.items.length - 1;
  }
}

type Effect = { readonly next: number; readonly added: readonly number[] };

export function explore(core: Core, plan: Plan, bound: number): Verdict {
  return new Search(core, plan).run(bound);
}

class Search {
  readonly #core: Core;
  readonly #plan: Plan;
  readonly #nodes: string[];
  readonly #records = new Interned<AcceptorRecord>();
  readonly #actors = new Interned<Actor>();
  readonly #messages = new Interned<Message>();
  readonly #acceptorSteps = new Map<number, Effect>();
  readonly #actorSteps = new Map<string, Effect>();
  readonly #contexts: (ProposerContext | CoordinatorContext)[];
  readonly #rules: { me: string; quorums: InstanceType<Core["QuorumSystem"]>; machine: typeof logMachine }[];
  readonly #coordinator: number;
  #fault: string | null = null;

  constructor(core: Core, plan: Plan) {
    this.#core = core;
    this.#plan = plan;
    this.#coordinator = plan.actors.findIndex(({ role }) => role === "coordinator");
    this.#nodes = "abcdefghi".slice(0, plan.n).split("");
    const quorums = new core.QuorumSystem(this.#nodes);
    this.#rules = this.#nodes.map((me) => ({ me, quorums, machine: logMachine }));
    const opening = core.snapshotOf(this.#fresh());
    const fast = core.fastBallotOf(this.#fresh());
    const base = { key: "k", epoch: 0, quorums };
    this.#contexts = plan.actors.map((actor) =>
      actor.role === "coordinator"
        ? { ...base, me: plan.coordinator, instance: 1, ballot: core.STANDING, freshId: `${plan.coordinator}/c/1` }
        : {
          ...base,
          me: actor.node,
          machine: logMachine,
          opening,
          fast,
          value: actor.proposes ? valueOf(actor.node) : null,
        }
    );
  }

  #fresh(): AcceptorRecord {
    return this.#core.freshRecord(logMachine, {
      kind: "fast",
      recovery: this.#plan.recovery ?? "coordinated",
      coordinator: this.#plan.coordinator,
    });
  }

  run(bound: number): Verdict {
    const initial = this.#initial();
    const seen = new Map<string, number>([[key(initial), 0]]);
    const states: Row[] = [initial];
    const parents: number[] = [-1];
    const actions: string[] = ["begin"];
    const sometimes: Record<Sometimes, number> = {
      inclusive: 0,
      open: 0,
      classic: 0,
      recovered: 0,
      collision: 0,
      ahead: 0,
    };
    const script = (last: number): string[] => {
      const lines: string[] = [];
      for (let i = last; i > 0; i = parents[i]!) lines.push(actions[i]!);
      return lines.reverse();
    };
    for (let at = 0; at < states.length; at++) {
      const row = states[at]!;
      let violation: { what: string; script: string[] } | null = null;
      this.#successors(row, (next, action) => {
        if (violation !== null) return;
        const text = key(next);
        if (seen.has(text)) return;
        seen.set(text, states.length);
        states.push(next);
        parents.push(at);
        actions.push(action());
        const what = this.#fault ?? this.#judge(next, sometimes);
        if (what !== null) violation = { what, script: script(states.length - 1) };
      });
      if (violation === null && this.#fault !== null) violation = { what: this.#fault, script: script(at) };
      if (violation !== null) return { states: states.length, complete: false, violation, sometimes };
      if (states.length >= bound) return { states: states.length, complete: false, violation: null, sometimes };
      states[at] = SPENT;
    }
    return { states: states.length, complete: true, violation: null, sometimes };
  }

  #initial(): Row {
    const record = this.#records.id(this.#fresh());
    let sent: readonly number[] = [];
    const actors = this.#plan.actors.map((actor, i) => {
      if (actor.role === "coordinator") {
        return this.#actors.id({ role: "coordinator", state: this.#core.initialCoordinator });
      }
      const context = this.#contexts[i] as ProposerContext;
      const { state, out } = this.#core.stepProposer(context, this.#core.initialProposer, { type: "start" });
      sent = merge(sent, this.#send(i, out));
      return this.#actors.id({ role: "proposer", state, prepared: 0 });
    });
    return { parts: [...this.#nodes.map(() => record), ...actors], sent };
  }

  #successors(row: Row, visit: (next: Row, action: () => string) => void): void {
    const n = this.#plan.n;
    for (const id of row.sent) {
      const message = this.#messages.items[id]!;
      if (message.kind === "request") {
        const effect = this.#acceptorStep(row.parts[message.to]!, id, message);
        this.#visit(row, message.to, effect, visit, () => `${this.#nodes[message.to]} gets ${show(message.message)}`);
      } else if (message.kind === "reply") {
        const effect = this.#replyStep(row.parts[n + message.actor]!, id, message);
        const from = this.#nodes[message.from];
        this.#visit(
          row,
          n + message.actor,
          effect,
          visit,
          () => `actor ${message.actor} gets ${message.reply.type} from ${from}`,
        );
      }
    }
    for (const ids of this.#reportSets(row)) {
      const part = n + this.#coordinator;
      const effect = this.#collisionStep(row.parts[part]!, ids);
      this.#visit(
        row,
        part,
        effect,
        visit,
        () => `coordinator hears of the votes ${ids.map((id) => this.#showVote(id))}`,
      );
    }
    if (this.#plan.recovery === "uncoordinated") {
      this.#nodes.forEach((node, part) => {
        for (const ids of this.#voteSets(row, node)) {
          const effect = this.#ownPick(row.parts[part]!, part, ids);
          this.#visit(row, part, effect, visit, () => `${node} picks from ${ids.map((id) => this.#showVote(id))}`);
        }
      });
    }
    this.#plan.actors.forEach((actor, i) => {
      const effect = actor.role === "proposer" ? this.#timeout(row.parts[n + i]!, i, actor.explicitBallots) : null;
      if (effect !== null) this.#visit(row, n + i, effect, visit, () => `actor ${i} prepares`);
    });
  }

  #visit(
    row: Row,
    part: number,
    effect: Effect,
    visit: (next: Row, action: () => string) => void,
    action: () => string,
  ) {
    const added = effect.added.filter((id) => !row.sent.includes(id));
    if (effect.next === row.parts[part] && added.length === 0) return;
    const parts = row.parts.slice();
    parts[part] = effect.next;
    visit({ parts, sent: this.#withoutDead(parts, merge(row.sent, added)) }, action);
  }

  /** A reply that can change nothing ever again: states that differ only by it are one. */
  #withoutDead(parts: readonly number[], sent: readonly number[]): readonly number[] {
    return sent.filter((id) => {
      const message = this.#messages.items[id]!;
      if (message.kind !== "reply") return true;
      const actor = this.#actors.items[parts[this.#plan.n + message.actor]!]!;
      if (actor.state.phase === "done") return false;
      return actor.role === "coordinator" || !isOver(this.#core, actor.state, message.reply);
    });
  }

  #acceptorStep(record: number, id: number, request: Extract<Message, { kind: "request" }>): Effect {
    const memo = record * 1_000_000 + id;
    const known = this.#acceptorSteps.get(memo);
    if (known !== undefined) return known;
    const { actor, to, message } = request;
    const before = this.#records.items[record]!;
    const from = this.#contexts[actor]!.me;
    const { record: after, reply } = this.#core.transition(this.#rules[to]!, before, message, { from, seenMs: {} });
    if (after.stopped !== undefined) this.#fault = `acceptor ${this.#nodes[to]} stopped: ${after.stopped}`;
    const told = asFact(reply);
    const added = told === null ? [] : [this.#messages.id({ kind: "reply", actor, from: to, reply: told })];
    added.push(...this.#voteCast(to, before, after));
    if (after.instance > 1 && before.instance === 1) {
      const value = after.decidedBy!.valueId;
      added.push(this.#messages.id({ kind: "decided", by: this.#nodes[to]!, how: "record", value }));
    }
    const effect = { next: this.#records.id(after), added };
    this.#acceptorSteps.set(memo, effect);
    return effect;
  }

  /**
   * Every set of sent votes that is enough for a pick. Smaller ones only wait for more, and so do reports that come
   * in during a pick, so they may as well come later.
   */
  #reportSets(row: Row): readonly (readonly number[])[] {
    if (this.#coordinator < 0) return [];
    if (this.#actors.items[row.parts[this.#plan.n + this.#coordinator]!]!.state.phase !== "gather") return [];
    return this.#voteSets(row, this.#plan.coordinator);
  }

  /** Sets of sent votes of the standing ballot that together with a report of `node` are a phase-1 quorum. */
  #voteSets(row: Row, node: string): readonly (readonly number[])[] {
    const votes = row.sent.filter((id) => {
      const message = this.#messages.items[id]!;
      return message.kind === "vote" && message.vote.kind === "fast" && message.acceptor !== node;
    });
    const enough = this.#rules[0]!.quorums.sizes.classic - 1;
    const sets: number[][] = [];
    for (let mask = 1; mask < 1 << votes.length; mask++) {
      const set = votes.filter((_, i) => (mask >> i & 1) === 1);
      if (set.length >= enough) sets.push(set);
    }
    return sets;
  }

  #showVote(id: number): string {
    const message = this.#messages.items[id]!;
    return message.kind === "vote" ? `${message.acceptor}:${message.vote.value.id}` : "";
  }

  #ownPick(record: number, part: number, votes: readonly number[]): Effect {
    const reports = this.#reportsOf(votes);
    const message = { type: "pick", key: "k", epoch: 0, instance: 1, ballot: this.#core.STANDING, reports } as const;
    return this.#actorMemo(`${record} ${part} pick ${votes}`, () => {
      const before = this.#records.items[record]!;
      const envelope = { from: this.#nodes[part]!, seenMs: {} };
      const { record: after } = this.#core.transition(this.#rules[part]!, before, message, envelope);
      return { next: this.#records.id(after), added: this.#voteCast(part, before, after) };
    });
  }

  #voteCast(acceptor: number, before: AcceptorRecord, after: AcceptorRecord): number[] {
    if (after.vote === null || after.vote === before.vote) return [];
    return [this.#messages.id({ kind: "vote", acceptor: this.#nodes[acceptor]!, vote: after.vote })];
  }

  #reportsOf(votes: readonly number[]): Report[] {
    return votes.map((id) => this.#messages.items[id] as Extract<Message, { kind: "vote" }>)
      .map(({ acceptor, vote }) => ({ from: acceptor, vote }));
  }

  #replyStep(actor: number, id: number, message: Extract<Message, { kind: "reply" }>): Effect {
    return this.#actorMemo(`${actor} ${id}`, () => {
      const from = this.#nodes[message.from]!;
      const input = { type: "reply", from, reply: message.reply, opening: null } as const;
      return this.#step(this.#actors.items[actor]!, message.actor, input);
    });
  }

  #collisionStep(actor: number, votes: readonly number[]): Effect {
    return this.#actorMemo(`${actor} votes ${votes}`, () => {
      const reports = this.#reportsOf(votes);
      const collision = {
        type: "collision",
        key: "k",
        epoch: 0,
        instance: 1,
        ballot: this.#core.STANDING,
        reports,
      } as const;
      return this.#step(this.#actors.items[actor]!, this.#coordinator, { type: "collision", message: collision });
    });
  }

  #timeout(actor: number, index: number, explicitBallots: number): Effect | null {
    const before = this.#actors.items[actor]!;
    if (before.role !== "proposer" || before.state.phase === "done" || before.prepared >= explicitBallots) return null;
    return this.#actorMemo(`${actor} prepare`, () => {
      const prepared = before.prepared + 1;
      return this.#step({ ...before, prepared }, index, { type: "prepare", nonce: String(prepared) });
    });
  }

  #step(before: Actor, index: number, input: ProposerInput | CoordinatorInput): Effect {
    const context = this.#contexts[index]!;
    if (before.role === "proposer") {
      const { state, out } = this.#core.stepProposer(context as ProposerContext, before.state, input as ProposerInput);
      // What was told to the host only keeps it from being told again.
      const next = this.#actors.id({ ...before, state: { ...state, told: "nothing", withheld: [] } });
      return { next, added: this.#send(index, out) };
    }
    const step = this.#core.stepCoordinator(context as CoordinatorContext, before.state, input as CoordinatorInput);
    return { next: this.#actors.id({ role: "coordinator", state: step.state }), added: this.#send(index, step.out) };
  }

  #actorMemo(memo: string, step: () => Effect): Effect {
    const known = this.#actorSteps.get(memo);
    if (known !== undefined) return known;
    let effect: Effect;
    try {
      effect = step();
    } catch (error) {
      this.#fault = `actor failed: ${(error as Error).message}`;
      effect = { next: Number(memo.split(" ")[0]), added: [] };
    }
    this.#actorSteps.set(memo, effect);
    return effect;
  }

  #send(actor: number, out: readonly (ProposerOutput | CoordinatorOutput)[]): number[] {
    const ids: number[] = [];
    for (const output of out) {
      if (output.type === "send") {
        const to = this.#nodes.indexOf(output.to);
        ids.push(this.#messages.id({ kind: "request", actor, to, message: output.message }));
      } else if (output.type === "decided") {
        const { certificate } = output;
        const how = certificate.kind === "classic" && certificate.ballot[0] === 0 ? "recovered" : certificate.kind;
        ids.push(this.#messages.id({ kind: "decided", by: String(actor), how, value: certificate.valueId }));
      }
    }
    return ids;
  }

  /** Agreement over everything anybody concluded and everything the sent votes chose, whoever noticed. */
  #judge(row: Row, sometimes: Record<Sometimes, number>): string | null {
    const decided = new Map<string, string>();
    const tallies = new Map<string, Set<string>>();
    const quorums = this.#rules[0]!.quorums;
    const fastValues = new Set<string>();
    let ahead = false;
    for (const id of row.sent) {
      const message = this.#messages.items[id]!;
      if (message.kind === "decided") {
        decided.set(message.value, `${message.by} (${message.how})`);
        if (message.how in sometimes) sometimes[message.how as Sometimes]++;
      } else if (message.kind === "vote") {
        const { ballot, kind, value } = message.vote;
        if (kind !== "classic") fastValues.add(value.id);
        const tally = `${ballot.join(".")} ${value.id}`;
        const voters = tallies.get(tally) ?? new Set();
        tallies.set(tally, voters.add(message.acceptor));
        if (kind === "classic" ? quorums.isClassic(voters) : quorums.isOpenFast(voters)) {
          decided.set(value.id, `votes in ${ballot.join(".")}`);
          if (kind === "uncoordinated") sometimes.recovered++;
        }
      } else if (message.kind === "reply") {
        ahead ||= message.reply.type === "ahead";
      }
    }
    if (fastValues.size > 1) sometimes.collision++;
    if (ahead) sometimes.ahead++;
    if (decided.size < 2) return null;
    return `two values decided: ${[...decided].map(([value, how]) => `${value} by ${how}`).join(", ")}`;
  }
}

/**
 * What a reply tells about votes, or null: that a promise stands in the way only decides when to time out, and a
 * timeout may come at any time here anyway. Without this the same fact travels in dozens of disguises.
 */
function asFact(reply: AcceptorReply): AcceptorReply | null {
  switch (reply.type) {
    case "refused":
      return reply.vote?.ballot.join() === reply.ballot.join() ? { ...reply, promised: reply.ballot } : null;
    case "rejected":
    case "behind":
      return null;
    default:
      return reply;
  }
}

/** Ballots only rise: what was said in one that the proposer has left, or of a phase it has ended, is over. */
function isOver(core: Core, state: ProposerState, reply: AcceptorReply): boolean {
  if (!("ballot" in reply)) return false;
  if (core.compareBallots(reply.ballot, state.ballot) < 0) return true;
  return reply.type === "promise" && state.phase !== "prepare";
}

/** Numbers of the records, then of the actors; and the sorted numbers of the messages sent so far. */
type Row = { readonly parts: readonly number[]; readonly sent: readonly number[] };
const SPENT: Row = { parts: [], sent: [] };

function key(row: Row): string {
  return String.fromCharCode(...row.parts, 0xffff, ...row.sent);
}

function merge(sorted: readonly number[], added: readonly number[]): readonly number[] {
  if (added.length === 0) return sorted;
  return [...new Set([...sorted, ...added])].sort((a, b) => a - b);
}

function valueOf(node: string): Value {
  return { id: `${node}/v/1`, proposer: node, commands: [{ subject: node, id: node, born: 1, op: { type: "x" } }] };
}

function show(message: AcceptorMessage): string {
  const what = message.type === "accept" ? ` ${message.value.id}` : "";
  const ballot = "ballot" in message ? ` ${message.ballot.join(".")}` : "";
  return `${message.type}${ballot}${what}`;
}

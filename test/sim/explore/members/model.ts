/**
 * The shipped functions of membership as a transition system. Whoever proposes keeps nothing here but what it has made
 * durable: each step runs its driver anew on what was said to it, so every order, loss, repetition and restart is there.
 */
import type {
  AcceptorMessage,
  AcceptorRecord,
  Ballot,
  Certificate,
  Mode,
  NodeId,
  ProposerContext,
  QuorumSystem,
  Value,
} from "../../../../src/paxos/mod.ts";
import type {
  Epochs,
  Fresh,
  ImportContext,
  ImportVote,
  KeyRecord,
  MemberMessage,
  MemberRules,
  MemberView,
} from "../../../../src/members/mod.ts";
import type { Searched } from "../explorer.ts";
import type { Row } from "../frontier.ts";
import type { Conclusion, Effect, Visit } from "../model.ts";
import { PairMap } from "../pair_map.ts";
import { Things, type VoteThing } from "../things.ts";
import { historyOf, logMachine, logOf } from "./log_machine.ts";
import type { MembersPlan } from "./plans.ts";
import {
  type ImportPromiseThing,
  type MembersThing,
  type MemberThing,
  type PromiseThing,
  type ReaderThing,
  type ReportThing,
  textOf,
  valueOf,
} from "./things.ts";

/** The modules under search: the shipped ones, or copies with a bug planted. */
export type MembersCore = {
  readonly paxos: typeof import("../../../../src/paxos/mod.ts");
  readonly members: typeof import("../../../../src/members/mod.ts");
};

const KEY = "k";
const SKIPPED = "-";
const NONE: readonly never[] = [];
const FIRST = 1;

const SOMEHOW: Certificate = { instance: 0, ballot: [0, "", 0], kind: "classic", valueId: "", acceptors: [] };

/** Votes of one ballot, of one kind, for one value on one base. */
type Tally = { readonly votes: VoteThing[]; readonly requests: Map<number, readonly number[]> };

export class MembersModel implements Searched {
  readonly nodes: readonly NodeId[];
  readonly names = 1;
  readonly things = new Things<MembersThing>((thing) => [textOf(thing)]);
  readonly #core: MembersCore;
  readonly #plan: MembersPlan;
  readonly #reduces: boolean;
  readonly #quorums: readonly [QuorumSystem, QuorumSystem];
  readonly #epochs: Epochs;
  /** As the same is known after `retire(e)`. */
  readonly #retired: Epochs;
  /** What may be sent at any time: it needs nothing that was said before. */
  readonly #always: readonly number[];
  readonly #alwaysRetired: readonly number[];
  readonly #importBallots: readonly Ballot[];
  readonly #deliveries: Map<number, Effect>[] = [];
  readonly #steps = new Map<string, Effect>();
  readonly #stepsOn = new PairMap<string | readonly number[], Effect>();
  readonly #subsetsOf = new Map<string, readonly (readonly number[])[]>();
  readonly #tallies = new Map<string, { readonly index: number; readonly tally: Tally }>();
  readonly #tallyOf = new Map<number, { readonly index: number; readonly tally: Tally; readonly bit: number }>();
  readonly #requestsOf = new Map<number, readonly number[]>();

  /** @param reduces off, to check it: promises stay that can do nothing any more */
  constructor(core: MembersCore, plan: MembersPlan, reduces = true) {
    this.#core = core;
    this.#reduces = reduces;
    this.#plan = plan;
    this.nodes = [...new Set([...plan.old, ...plan.next])].sort();
    const { QuorumSystem } = core.paxos;
    this.#quorums = [new QuorumSystem(plan.old.split("")), new QuorumSystem(plan.next.split(""))];
    const mode = (coordinator: NodeId): Mode => ({ kind: "fast", recovery: "coordinated", coordinator });
    this.#epochs = {
      machine: logMachine,
      old: { number: 0, quorums: this.#quorums[0], mode: mode(plan.old[0]!), first: FIRST },
      next: { number: 1, quorums: this.#quorums[1], mode: mode(plan.next[0]!), first: null },
    };
    const first = (plan.floor ?? 0) + 1;
    this.#retired = { ...this.#epochs, next: { ...this.#epochs.next, first } };
    this.#importBallots = plan.imports.split("").map((owner, i) => core.paxos.explicitBallot(i + 1, owner, "i"));
    this.#always = this.#constants();
    this.#alwaysRetired = plan.floor === undefined ? NONE : this.#freshConstants(first);
  }

  initial(): Row {
    const members = this.nodes.map((at) => {
      return this.things.id({
        kind: "member",
        at,
        sealed: false,
        retired: false,
        record: this.#core.members.unimported(null),
      });
    });
    const readers = (this.#plan.readers ?? []).map((epoch) => {
      return this.things.id({ kind: "reader", epoch, isOver: false, mustOpen: 1, views: [] });
    });
    const retired = this.things.id({ kind: "retired", isRetired: false });
    // Whatever was decided last, an import or a value may follow.
    const values = Array(this.#plan.instances + 2).fill(null);
    return { parts: [...members, ...readers, retired, this.things.id({ kind: "decided", values })], sent: [] };
  }

  actions(row: Row, visit: Visit): void {
    const isRetired = this.#isRetired(row);
    this.nodes.forEach((_, part) => this.#seals(row, part, visit));
    for (const id of this.#always) this.#deliver(row, id, visit);
    if (isRetired || this.#plan.beginsEarly) {
      for (const id of this.#alwaysRetired) this.#deliver(row, id, visit);
    }
    const masks = new Map<number, { readonly tally: Tally; mask: number }>();
    for (const id of row.sent) {
      for (const request of this.#requests(id)) this.#deliver(row, request, visit);
      const thing = this.#thing(id);
      if (thing.kind !== "vote") continue;
      const { index, tally, bit } = this.#tally(id, thing);
      const known = masks.get(index);
      if (known === undefined) masks.set(index, { tally, mask: bit });
      else known.mask |= bit;
    }
    for (const { tally, mask } of masks.values()) {
      for (const request of this.#concluded(tally, mask)) this.#deliver(row, request, visit);
    }
    this.#picks(row, 0, this.#plan.explicit, visit);
    this.#picks(row, 1, this.#plan.nextExplicit, visit);
    this.#imports(row, visit, isRetired);
    if (isRetired) this.#hears(row, visit);
    row.parts.forEach((id, part) => {
      const thing = this.#thing(id);
      if (thing.kind === "reader" && !thing.isOver) this.#reads(row, part, thing, visit);
      if (thing.kind === "retired" && !thing.isRetired && this.#plan.floor !== undefined) {
        this.#retires(row, part, visit);
      }
    });
  }

  /** A promise of a ballot that its owner has used or can use no more. */
  isDead(id: number, parts: readonly number[]): boolean {
    const thing = this.#thing(id);
    if (!this.#reduces || (thing.kind !== "promise" && thing.kind !== "import-promise")) return false;
    const owner = this.#core.paxos.ballotOwner(thing.ballot);
    const member = this.#member(parts[this.nodes.indexOf(owner)]!);
    const { compareBallots } = this.#core.paxos;
    const isOver = (
      { promised, vote }: { readonly promised: Ballot; readonly vote: { readonly ballot: Ballot } | null },
    ) =>
      compareBallots(promised, thing.ballot) > 0 || (vote !== null && compareBallots(vote.ballot, thing.ballot) >= 0);
    if (thing.kind === "import-promise") return !("old" in member.record) || isOver(member.record);
    const record = recordOf(member, thing.epoch);
    if (record === null) return thing.epoch === 0 && (member.sealed || !("old" in member.record));
    return record.instance > thing.instance || (record.instance === thing.instance && isOver(record));
  }

  concerns(id: number, part: number): boolean {
    const thing = this.#thing(id);
    if (thing.kind !== "promise" && thing.kind !== "import-promise") return false;
    return this.nodes[part] === this.#core.paxos.ballotOwner(thing.ballot);
  }

  vote(id: number): VoteThing | null {
    const thing = this.#thing(id);
    return thing.kind === "vote" ? thing : null;
  }

  conclusionsOf({ instance, vote, base }: VoteThing): readonly Conclusion[] {
    const below = base === undefined ? [] : this.#history(base, instance);
    return [...below, { instance, value: vote.value.id }];
  }

  conclude(decided: number, { instance, value }: Conclusion): number | null {
    const thing = this.#thing(decided);
    if (thing.kind !== "decided") throw new Error("not what is decided");
    const known = thing.values[instance - 1] ?? null;
    if (known === value) return decided;
    if (known === null) return this.things.id({ ...thing, values: thing.values.with(instance - 1, value) });
    // A value of e is lost with its tombstone, as it was to be; an import and what comes after it are not.
    const isDropped = this.#plan.tombstone === true && instance <= this.#plan.floor!;
    if (isDropped && value === SKIPPED && isOld(known)) return decided;
    if (isDropped && known === SKIPPED && isOld(value)) {
      return this.things.id({ ...thing, values: thing.values.with(instance - 1, value) });
    }
    return null;
  }

  decidedAt(decided: number, instance: number): string | null {
    const thing = this.#thing(decided);
    return thing.kind === "decided" ? thing.values[instance - 1] ?? null : null;
  }

  isChosen(votes: readonly VoteThing[]): boolean {
    const { epoch, instance } = votes[0]!;
    const reports = votes.map(({ acceptor, vote }) => ({ from: acceptor, vote }));
    return this.#core.paxos.chosenValue(this.#quorums[epoch!]!, instance, reports) !== null;
  }

  #thing(id: number): MembersThing {
    return this.things.items[id]!;
  }

  #member(id: number): MemberThing {
    const thing = this.#thing(id);
    if (thing.kind !== "member") throw new Error(`${thing.kind} is no member`);
    return thing;
  }

  #isRetired(row: Row): boolean {
    const thing = this.#thing(row.parts.at(-2)!);
    return thing.kind === "retired" && thing.isRetired;
  }

  #history(log: string, opening: number): Conclusion[] {
    return historyOf(log, opening).map((value, i) => ({ instance: i + 1, value: value ?? SKIPPED }));
  }

  // Messages

  #request(from: NodeId | "", to: NodeId, message: MemberMessage): number {
    return this.things.id({ kind: "request", from, to, message });
  }

  #toAll(epoch: number, from: NodeId | "", message: MemberMessage): number[] {
    return this.#quorums[epoch]!.members.map((to) => this.#request(from, to, message));
  }

  /** Values at home, clients' values, and Prepares: who begins when is nobody's to say. */
  #constants(): readonly number[] {
    const { old, oldInstances, instances, proposers, direct, nextProposers = "", nextDirect } = this.#plan;
    const { explicit, nextExplicit } = this.#plan;
    const { STANDING, explicitBallot } = this.#core.paxos;
    const found: number[] = [];
    const accept = (epoch: number, instance: number, value: Value): AcceptorMessage => ({
      type: "accept",
      key: KEY,
      epoch,
      instance,
      ballot: STANDING,
      value,
    });
    const prepare = (epoch: number, instance: number, owner: NodeId): readonly number[] => {
      const ballot = explicitBallot(1, owner, "x");
      return this.#toAll(epoch, owner, { type: "prepare", key: KEY, epoch, instance, ballot });
    };
    for (let instance = 1; instance <= oldInstances; instance++) {
      for (const p of proposers) found.push(this.#request(p, p, accept(0, instance, valueOf(`${p}${instance}`, p))));
      if (explicit !== undefined) found.push(...prepare(0, instance, explicit));
    }
    if (direct) { for (const to of old) found.push(this.#request("", to, accept(0, 1, valueOf("x", "")))); }
    for (let instance = 1; instance <= instances; instance++) {
      for (const p of nextProposers) {
        found.push(this.#request(p, p, accept(1, instance, valueOf(`${p}'${instance}`, p))));
      }
      if (nextExplicit !== undefined) found.push(...prepare(1, instance, nextExplicit));
      if (nextDirect) found.push(...this.#toAll(1, "", accept(1, instance, valueOf("y", ""))));
    }
    for (const ballot of this.#importBallots) {
      const owner = this.#core.paxos.ballotOwner(ballot);
      found.push(...this.#toAll(1, owner, { type: "import-prepare", key: KEY, epoch: 1, ballot }));
    }
    return found;
  }

  #freshConstants(first: number): readonly number[] {
    const { nextProposers = "", nextDirect, instances } = this.#plan;
    if (first > instances) return [];
    const fresh = (value: Value): Fresh =>
      this.#fresh({
        type: "accept",
        key: KEY,
        epoch: 1,
        instance: first,
        ballot: this.#core.paxos.STANDING,
        value,
      });
    return [
      ...nextProposers.split("").map((p) => this.#request(p, p, fresh(valueOf(`${p}'${first}`, p)))),
      ...(nextDirect ? this.#toAll(1, "", fresh(valueOf("y", ""))) : []),
    ];
  }

  #fresh(message: Fresh["message"]): Fresh {
    return { type: "fresh", key: KEY, epoch: 1, message };
  }

  /** What somebody may send once this was said. */
  #requests(id: number): readonly number[] {
    const known = this.#requestsOf.get(id);
    if (known !== undefined) return known;
    const thing = this.#thing(id);
    const found = thing.kind === "certificate"
      ? this.#toAll(thing.epoch, "", this.#learn(thing.epoch, thing.certificate, thing.base))
      : thing.kind === "vote"
      ? this.#afterVote(thing)
      : thing.kind === "state"
      ? this.#afterState(thing)
      : [];
    this.#requestsOf.set(id, found);
    return found;
  }

  /** The proposer, or the owner of the ballot, has voted itself: now all others may be asked. */
  #afterVote({ acceptor, epoch = 0, instance, base, vote }: VoteThing): readonly number[] {
    const { ballot, value } = vote;
    const sender = ballot[0] === 0 ? value.proposer : this.#core.paxos.ballotOwner(ballot);
    if (sender !== acceptor) return [];
    const accept = { type: "accept", key: KEY, epoch, instance, ballot, value } as const;
    const isImport = base !== undefined && "base" in vote;
    const message: MemberMessage = !isImport
      ? accept
      : ballot[0] === 0
      ? this.#fresh(accept)
      : { type: "import-accept", key: KEY, epoch: 1, ballot, base: (vote as ImportVote).base, value };
    return this.#quorums[epoch]!.members.filter((to) => to !== acceptor).map((to) =>
      this.#request(acceptor, to, message)
    );
  }

  #afterState({ epoch, snapshot }: MembersThing & { kind: "state" }): readonly number[] {
    const { instance } = snapshot;
    return this.#toAll(epoch, "", { type: "learn", key: KEY, epoch, instance, certificate: null, snapshot });
  }

  #tally(id: number, thing: VoteThing) {
    const known = this.#tallyOf.get(id);
    if (known !== undefined) return known;
    const { epoch, instance, base, vote: { ballot, kind, value } } = thing;
    const name = `${epoch} ${instance} ${ballot} ${kind} ${value.id} ${base}`;
    const fresh: Tally = { votes: [], requests: new Map() };
    const { index, tally } = this.#tallies.get(name) ?? { index: this.#tallies.size, tally: fresh };
    this.#tallies.set(name, { index, tally });
    const entry = { index, tally, bit: 1 << this.nodes.indexOf(thing.acceptor) };
    tally.votes.push(thing);
    this.#tallyOf.set(id, entry);
    return entry;
  }

  /** What these votes let somebody say: Learn from a quorum for all to see, a guarded decision from the proposer's own. */
  #concluded(tally: Tally, mask: number): readonly number[] {
    const known = tally.requests.get(mask);
    if (known !== undefined) return known;
    const votes = tally.votes.filter(({ acceptor }) => (mask >> this.nodes.indexOf(acceptor) & 1) === 1);
    const { instance, epoch = 0, base, vote } = votes[0]!;
    const { ballot, value, kind } = vote;
    const quorums = this.#quorums[epoch]!;
    const acceptors = votes.map(({ acceptor }) => acceptor).sort();
    const certify = (kind: Certificate["kind"]): Certificate => {
      return { instance, ballot, kind, valueId: value.id, acceptors };
    };
    const found: number[] = [];
    if (this.isChosen(votes)) {
      const certificate = certify(kind === "classic" ? "classic" : "open");
      found.push(...this.#toAll(epoch, "", this.#learn(epoch, certificate, base, value)));
    }
    if (kind === "fast" && value.proposer !== "" && quorums.isInclusiveFast(new Set(acceptors), value.proposer)) {
      const decide = { type: "decide", key: KEY, epoch, instance, certificate: certify("inclusive") } as const;
      found.push(this.#request(value.proposer, value.proposer, base === undefined ? decide : this.#fresh(decide)));
    }
    tally.requests.set(mask, found);
    return found;
  }

  #learn(epoch: number, certificate: Certificate, base: string | undefined, value?: Value): MemberMessage {
    if (base !== undefined) return { type: "import-learn", key: KEY, epoch, certificate, baseHash: base };
    const learn = { type: "learn", key: KEY, epoch, instance: certificate.instance, certificate } as const;
    return value === undefined ? learn : { ...learn, value };
  }

  #deliver(row: Row, request: number, visit: Visit): void {
    const thing = this.#thing(request);
    if (thing.kind !== "request") return;
    const { from, to, message } = thing;
    const part = this.nodes.indexOf(to);
    const known = (this.#deliveries[request] ??= new Map());
    let effect = known.get(row.parts[part]!);
    if (effect === undefined) {
      effect = this.#handled(row.parts[part]!, message, from);
      known.set(row.parts[part]!, effect);
    }
    if (effect.next === row.parts[part] && effect.added.length === 0 && effect.fault === null) return;
    const isLate = message.type === "decide" && message.epoch === 0 && effect.concluded.length > 0 &&
      this.#isClosed(row);
    const told = isLate ? { ...effect, seen: [...effect.seen, "decided in e after the seals"] } : effect;
    visit(part, told, () => `${to} gets ${show(message)}`);
  }

  #rules({ at, sealed, retired }: MemberThing): MemberRules {
    return { ...(retired ? this.#retired : this.#epochs), me: at, sealed };
  }

  /** Whether as many members of e are sealed as an import needs. */
  #isClosed(row: Row): boolean {
    return this.#quorums[0].isPhase1(new Set(this.nodes.filter((_, part) => this.#member(row.parts[part]!).sealed)));
  }

  #handled(part: number, message: MemberMessage, from: NodeId | ""): Effect {
    const before = this.#member(part);
    return safely(part, () => {
      const rules = this.#rules(before);
      const { record, reply } = this.#core.members.stepMember(rules, before.record, message, { from, seenMs: {} });
      const effect = this.#changed(before, { ...before, record: neutral(record) }, message.type === "fresh");
      if (reply.type === "rejected" && /two values/.test(reply.reason)) return { ...effect, fault: reply.reason };
      const said: MembersThing[] = [];
      if (reply.type === "promise") {
        const { ballot, instance, vote } = reply;
        said.push({ kind: "promise", epoch: message.epoch, ballot, instance, report: { from: before.at, vote } });
      }
      if (reply.type === "import-promise") {
        const { ballot, vote, first } = reply;
        said.push({ kind: "import-promise", ballot, report: { from: before.at, vote, first } });
      }
      const decide = message.type === "fresh" ? message.message : message;
      if (this.#plan.certificates && decide.type === "decide" && record !== before.record) {
        const base = message.type === "fresh" ? "" : undefined;
        said.push({ kind: "certificate", epoch: decide.epoch, certificate: decide.certificate, base });
      }
      return { ...effect, added: [...effect.added, ...said.map((thing) => this.things.id(thing))] };
    });
  }

  /** What follows for all to see from what a member has made durable. */
  #changed(before: MemberThing, after: MemberThing, isFresh = false): Effect {
    const next = this.things.id(after);
    const added: number[] = [];
    const seen: string[] = [];
    const concluded: Conclusion[] = [];
    const { at } = after;
    const was = before.record;
    const is = after.record;
    const vote = (epoch: number, instance: number, vote: VoteThing["vote"], base?: string) => {
      const known = { kind: "vote", acceptor: at, epoch, instance, vote } as const;
      added.push(this.things.id(base === undefined ? known : { ...known, base }));
    };
    const moved = (record: KeyRecord) => {
      if ("old" in record) return;
      const { epoch, instance, state, stateHash, decidedBy } = record;
      concluded.push(...this.#history(logOf(state), instance));
      added.push(this.things.id({ kind: "state", epoch, snapshot: { instance, state, stateHash, decidedBy } }));
    };
    let stopped: string | undefined;
    if ("old" in is && "old" in was) {
      if (is.old !== null && is.old !== was.old) {
        const { instance } = was.old ?? { instance: FIRST };
        if (is.old.instance > instance) moved(is.old);
        if (is.old.vote !== null && is.old.vote !== was.old?.vote) vote(0, is.old.instance, is.old.vote);
        stopped = is.old.stopped;
      }
      if (is.vote !== null && is.vote !== was.vote) {
        vote(1, is.vote.base.instance, is.vote, is.vote.base.stateHash);
        if (is.vote.ballot[0] === 0) seen.push("fresh");
      }
    } else if (!("old" in is)) {
      const isImported = "old" in was;
      if (isImported) seen.push("imported");
      if (isImported || is.instance > was.instance) moved(is);
      if (!isImported && is.instance > was.instance) seen.push("decided in e+1");
      // Who asked in the ballot of a fresh key takes the answer for one about that.
      const base = isFresh ? "" : undefined;
      if (is.vote !== null && (isImported || is.vote !== was.vote)) vote(1, is.instance, is.vote, base);
      stopped = is.stopped;
    }
    const report = this.#report(after);
    if (report !== null) added.push(report);
    return { next, added, concluded, seen, fault: stopped === undefined ? null : `${at} stopped: ${stopped}` };
  }

  /** What it answers to a read of e+1, if that can be used: the answer may come at any later time. */
  #report(member: MemberThing): number | null {
    const { at, record } = member;
    const rules = this.#rules(member);
    const read = { type: "read", key: KEY, epoch: 1, instance: 0 } as const;
    const { reply } = this.#core.members.stepMember(rules, record, read, { from: "", seenMs: {} });
    if (reply.type !== "unimported" || reply.report === null) return null;
    return this.things.id({ kind: "report", report: { from: at, ...reply.report } });
  }

  #seals(row: Row, part: number, visit: Visit): void {
    const id = row.parts[part]!;
    const before = this.#member(id);
    if (!this.#plan.old.includes(before.at)) return;
    if (before.sealed) {
      if (!this.#plan.losesSeals) return;
      const effect = this.#stepOn("forgets", id, 0, () => this.#changed(before, { ...before, sealed: false }));
      return visit(part, effect, () => `${before.at} starts again, unsealed`);
    }
    const effect = this.#stepOn("seals", id, 0, () => this.#changed(before, { ...before, sealed: true }));
    visit(part, effect, () => `${before.at} seals`);
  }

  /** A member of e+1 hears that e is retired, and keeps that. */
  #hears(row: Row, visit: Visit): void {
    this.#quorums[1].members.forEach((at) => {
      const part = this.nodes.indexOf(at);
      const id = row.parts[part]!;
      const before = this.#member(id);
      if (before.retired) return;
      const effect = this.#stepOn("hears", id, 0, () => this.#changed(before, { ...before, retired: true }));
      visit(part, effect, () => `${at} hears that e is retired`);
    });
  }

  // Explicit ballots

  /** The owner of an explicit ballot, as the shipped proposer goes on from what it was promised. */
  #picks(row: Row, epoch: 0 | 1, owner: NodeId | undefined, visit: Visit): void {
    if (owner === undefined) return;
    const part = this.nodes.indexOf(owner);
    const record = recordOf(this.#member(row.parts[part]!), epoch);
    if (record === null) return;
    const { instance, vote } = record;
    if (vote !== null && vote.ballot[0] > 0) return;
    const promises = row.sent.filter((id) => {
      const thing = this.#thing(id);
      return thing.kind === "promise" && thing.epoch === epoch && thing.instance === instance;
    });
    for (const ids of this.#subsets(promises, this.#quorums[epoch].sizes.classic)) {
      const effect = this.#stepOn(ids, row.parts[part]!, 0, () => {
        const { snapshotOf, initialProposer, stepProposer } = this.#core.paxos;
        const context: ProposerContext = {
          me: owner,
          key: KEY,
          epoch,
          quorums: this.#quorums[epoch],
          machine: logMachine,
          opening: snapshotOf(record),
          fast: null,
          value: valueOf(`${owner}${epoch === 0 ? "x" : "x'"}${instance}`, owner),
        };
        let state = stepProposer(context, initialProposer, { type: "prepare", nonce: "x" }).state;
        for (const id of ids) {
          const { ballot, report } = this.#thing(id) as PromiseThing;
          const reply = { type: "promise", instance, ballot, vote: report.vote } as const;
          const { state: next, out } = stepProposer(context, state, { type: "reply", from: report.from, reply });
          state = next;
          for (const output of out) {
            if (output.type === "send") {
              return this.#handled(row.parts[part]!, output.message as AcceptorMessage, owner);
            }
          }
        }
        return nothing(row.parts[part]!);
      });
      visit(part, effect, () => `${owner} picks in its explicit ballot from ${this.#show(ids)}`);
    }
  }

  /** Owners of imports, as the shipped driver goes on from what it was promised and told. */
  #imports(row: Row, visit: Visit, isRetired: boolean): void {
    const { compareBallots, ballotOwner } = this.#core.paxos;
    const promised: number[] = [];
    const reports: number[] = [];
    for (const id of row.sent) {
      const { kind } = this.#thing(id);
      if (kind === "import-promise") promised.push(id);
      else if (kind === "report") reports.push(id);
    }
    if (promised.length === 0) return;
    this.#importBallots.forEach((ballot) => {
      const owner = ballotOwner(ballot);
      const part = this.nodes.indexOf(owner);
      const id = row.parts[part]!;
      const { record, retired } = this.#member(id);
      const isLate = isRetired && !retired;
      if (!("old" in record) || compareBallots(record.promised, ballot) > 0) return;
      if (record.vote !== null && compareBallots(record.vote.ballot, ballot) >= 0) return;
      const own = promised.filter((id) => (this.#thing(id) as ImportPromiseThing).ballot[1] === ballot[1]);
      for (const promises of this.#subsets(own, this.#quorums[1].sizes.classic)) {
        const needsReports = !retired &&
          promises.every((id) => (this.#thing(id) as ImportPromiseThing).report.vote === null);
        for (const told of needsReports ? this.#subsets(reports, 1) : [NONE]) {
          const memo = `${id} imports ${isLate} ${promises} ${told}`;
          const effect = this.#step(memo, id, () => {
            const effect = this.#import(id, ballot, promises, told);
            return isLate ? { ...effect, seen: [...effect.seen, "late import"] } : effect;
          });
          if (effect.next === id) continue;
          visit(part, effect, () => `${owner} picks in its import from ${this.#show(promises)}; ${this.#show(told)}`);
        }
      }
    });
  }

  #import(part: number, ballot: Ballot, promises: readonly number[], told: readonly number[]): Effect {
    const member = this.#member(part);
    const owner = member.at;
    const { initialImport, stepImport } = this.#core.members;
    const context: ImportContext = { ...this.#rules(member), key: KEY, value: valueOf(`${owner}i${ballot[0]}`, owner) };
    let { state } = stepImport(context, { ...initialImport, highestN: ballot[0] - 1 }, { type: "prepare", nonce: "i" });
    const replies = [
      ...told.map((id) => {
        const { from, ...report } = (this.#thing(id) as ReportThing).report;
        return {
          from,
          reply: { type: "unimported", promised: this.#core.paxos.STANDING, vote: null, first: null, report } as const,
        };
      }),
      ...promises.map((id) => {
        const { from, ...word } = (this.#thing(id) as ImportPromiseThing).report;
        return { from, reply: { type: "import-promise", ballot, ...word, report: null } as const };
      }),
    ];
    for (const { from, reply } of replies) {
      const { state: next, out } = stepImport(context, state, { type: "reply", from, reply });
      state = next;
      for (const output of out) {
        if (output.type !== "send") continue;
        const effect = this.#handled(part, output.message, owner);
        return effect.next === part
          ? effect
          : { ...effect, seen: [...effect.seen, ...this.#kindOf(state.proposal!.value, promises, told)] };
      }
    }
    return nothing(part);
  }

  #kindOf(value: Value, promises: readonly number[], told: readonly number[]): readonly string[] {
    const reports = told.map((id) => (this.#thing(id) as ReportThing).report);
    const instances = new Set(reports.map(({ snapshot }) => snapshot?.instance ?? FIRST));
    const isVoted = promises.some((id) => (this.#thing(id) as ImportPromiseThing).report.vote?.value.id === value.id);
    return [
      isVoted
        ? "forced by a vote"
        : reports.some(({ vote }) => vote?.value.id === value.id)
        ? "forced by reports"
        : "free",
      ...(instances.size > 1 ? ["reports at two instances"] : []),
    ];
  }

  #retires(row: Row, part: number, visit: Visit): void {
    const reports = row.sent.filter((id) => this.#thing(id).kind === "report");
    const imported = new Set(this.nodes.filter((_, i) => !("old" in this.#member(row.parts[i]!).record)));
    for (const told of [NONE, ...this.#subsets(reports, 1)]) {
      const isSettled = this.#core.members.isSettled(
        this.#epochs,
        told.map((id) => (this.#thing(id) as ReportThing).report),
        imported,
        this.#plan.floor!,
        () => this.#plan.tombstone === true,
      );
      if (!isSettled) continue;
      const next = this.things.id({ kind: "retired", isRetired: true });
      visit(part, { ...nothing(next), seen: ["retired"] }, () => `e is retired, as lists show: ${this.#show(told)}`);
      return;
    }
  }

  // Reads

  /** A read begins with its first view: to begin it earlier would only ask less of it. */
  #reads(row: Row, part: number, thing: ReaderThing, visit: Visit): void {
    const id = row.parts[part]!;
    const mustOpen = thing.views.length === 0 ? this.#newest(row) + 1 : thing.mustOpen;
    for (const node of this.#quorums[thing.epoch].members) {
      if (thing.views.some(({ from }) => from === node)) continue;
      const member = row.parts[this.nodes.indexOf(node)]!;
      const effect = this.#stepOn(`views from ${mustOpen}`, id, member, () => {
        const { record } = this.#member(member);
        const rules = this.#rules(this.#member(member));
        const read = { type: "read", key: KEY, epoch: thing.epoch, instance: 0 } as const;
        const { reply } = this.#core.members.stepMember(rules, record, read, { from: "", seenMs: {} });
        const view: MemberView | null = reply.type === "view"
          ? { from: node, snapshot: reply.snapshot, vote: reply.vote }
          : reply.type === "unimported" && thing.epoch === 1
          ? { from: node, promised: reply.promised, vote: reply.vote, first: reply.first, report: null }
          : null;
        if (view === null) return nothing(id);
        return nothing(this.things.id({ ...thing, mustOpen, views: [...thing.views, view] }));
      });
      if (effect.next !== id) visit(part, effect, () => `the reader of epoch ${thing.epoch} sees ${node}`);
    }
    if (thing.views.length === 0) return;
    if (thing.epoch === 0) {
      const effect = this.#stepOn("answers", id, 0, () => {
        const views = thing.views.filter((view) => "snapshot" in view);
        return this.#answer(id, thing, this.#core.paxos.judgeRead(this.#quorums[0], views), "read in e");
      });
      if (effect.next !== id || effect.fault !== null) visit(part, effect, () => "the reader of epoch 0 answers");
      return;
    }
    const hasRecord = thing.views.some((view) => "snapshot" in view);
    const { STANDING } = this.#core.paxos;
    const answer = (told: readonly number[], what: string) => {
      const effect = this.#stepOn(told, id, 0, () => {
        const reports = told.map((id) => (this.#thing(id) as ReportThing).report);
        const members = thing.views.map((view): MemberView => {
          if ("snapshot" in view) return view;
          const report = view.first === null ? reports.find(({ from }) => from === view.from) : undefined;
          return { ...view, report: report === undefined ? null : { snapshot: report.snapshot, vote: report.vote } };
        });
        // A member of e+1 gives its report with its view.
        const others = reports.filter(({ from }) => !this.#quorums[1].isMember(from));
        const leavers = others.map(({ from, ...report }) => ({
          from,
          promised: STANDING,
          vote: null,
          first: null,
          report,
        }));
        const views = [...members, ...leavers];
        return this.#answer(id, thing, this.#core.members.judgeMemberRead(this.#epochs, views), what);
      });
      if (effect.next === id && effect.fault === null) return;
      visit(part, effect, () => `the reader of epoch 1 answers, ${what}, with ${this.#show(told)}`);
    };
    if (hasRecord) return answer(NONE, "read from a record");
    if (thing.views.every((view) => "first" in view && view.first !== null)) {
      return answer(NONE, "read of what is fresh");
    }
    for (const told of this.#subsets(row.sent.filter((id) => this.#thing(id).kind === "report"), 1)) {
      answer(told, "read from reports");
    }
  }

  #answer(
    id: number,
    thing: ReaderThing,
    judgement: ReturnType<MembersCore["members"]["judgeMemberRead"]>,
    what: string,
  ): Effect {
    if (judgement?.type !== "state" && judgement?.type !== "chosen") return nothing(id);
    const { instance, state } = judgement.snapshot;
    const known = this.#history(logOf(state), instance);
    const chosen = judgement.type === "chosen" ? [{ instance, value: judgement.chosen.value.id }] : [];
    const opens = instance + chosen.length;
    const over = this.things.id({ ...thing, isOver: true, mustOpen: 0, views: [] });
    const fault = opens >= thing.mustOpen
      ? null
      : `stale: a read in epoch ${thing.epoch} answered with what opens instance ${opens}, though ${
        thing.mustOpen - 1
      } was decided before it began`;
    return { next: over, added: NONE, concluded: [...known, ...chosen], seen: [what], fault };
  }

  #newest(row: Row): number {
    const thing = this.#thing(row.parts.at(-1)!);
    if (thing.kind !== "decided") return 0;
    return thing.values.findLastIndex((value) => value !== null && value !== SKIPPED) + 1;
  }

  // Steps

  #step(memo: string, part: number, step: () => Effect): Effect {
    const known = this.#steps.get(memo);
    if (known !== undefined) return known;
    const effect = safely(part, step);
    this.#steps.set(memo, effect);
    return effect;
  }

  /** As `#step`, of nearly all steps: numbers are found faster than texts that are put together. */
  #stepOn(how: string | readonly number[], part: number, other: number, step: () => Effect): Effect {
    const known = this.#stepsOn.get(how, part, other);
    if (known !== undefined) return known;
    const effect = safely(part, step);
    this.#stepsOn.set(how, part, other, effect);
    return effect;
  }

  /** All that have at least so many; of the same numbers the same lists each time. */
  #subsets(ids: readonly number[], least: number): readonly (readonly number[])[] {
    const name = `${least} ${ids}`;
    const known = this.#subsetsOf.get(name) ?? subsets(ids, least);
    this.#subsetsOf.set(name, known);
    return known;
  }

  #show(ids: readonly number[]): string {
    return ids.map((id) => textOf(this.#thing(id))).join(", ");
  }
}

function safely(part: number, step: () => Effect): Effect {
  try {
    return step();
  } catch (error) {
    return { ...nothing(part), fault: `a role failed: ${(error as Error).message}` };
  }
}

/** The ordinary record of that epoch that it may still change. */
function recordOf({ sealed, record }: MemberThing, epoch: number): AcceptorRecord | null {
  if (epoch === 1) return "old" in record ? null : record;
  return sealed || !("old" in record) ? null : record.old;
}

/** Whether nodes propose it in e. */
function isOld(value: string): boolean {
  return /^[a-z]\d$/.test(value);
}

/**
 * States that differ only in who was counted are one here, so a record keeps no more of that than that it was decided: to
 * compare it with the own vote could only show a store that forgot.
 */
function neutral(record: KeyRecord): KeyRecord {
  if ("old" in record) {
    const old = record.old === null ? null : neutral(record.old) as AcceptorRecord;
    return old === record.old ? record : { ...record, old };
  }
  return record.decidedBy === null || record.decidedBy === SOMEHOW ? record : { ...record, decidedBy: SOMEHOW };
}

function nothing(part: number): Effect {
  return { next: part, added: [], concluded: [], seen: [], fault: null };
}

/** All that have at least so many. */
function subsets<T>(items: readonly T[], least: number): readonly (readonly T[])[] {
  const found: T[][] = [];
  for (let mask = 1; mask < 1 << items.length; mask++) {
    const set = items.filter((_, i) => (mask >> i & 1) === 1);
    if (set.length >= least) found.push(set);
  }
  return found;
}

function show(message: MemberMessage): string {
  if (message.type === "fresh") return `fresh ${show(message.message)}`;
  const at = "instance" in message ? ` at ${message.epoch}.${message.instance}` : "";
  const ballot = "ballot" in message ? ` ${message.ballot.join(".")}` : "";
  const what = "value" in message && message.value !== undefined ? ` ${message.value.id}` : "";
  const on = "base" in message ? ` on ${message.base.instance} [${logOf(message.base.state)}]` : "";
  return `${message.type}${at}${ballot}${what}${on}`;
}

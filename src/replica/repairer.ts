/**
 * Repair of this node's record of a name that is damaged, or has stopped: from what enough other members hold, at an instance that
 * was opened since (PROTOCOL.md §9, "Repair"). Where too many records are wrong for that, a person says which state it is to be.
 */
import type { Repaired, RepairMember, RepairPlan } from "../api.ts";
import { QuorateError } from "../errors.ts";
import { ACCEPT_STEP, RESTORE_STEP } from "../limits.ts";
import { type LockMachine, wholeHashOf } from "../machine/machine.ts";
import type { NodeId } from "../paxos/ballot.ts";
import type { Snapshot } from "../paxos/message.ts";
import { lastVoted, recordAnew, type Standing, stateAbove } from "../paxos/repair.ts";
import type { Clock, Randomness, Report, Transport } from "../ports.ts";
import type { AcceptorHost } from "./acceptor_host.ts";
import type { Install, OwnRecord } from "./mending.ts";
import type { Timing } from "./timing.ts";

export type RepairerParts = {
  readonly acceptor: AcceptorHost;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Randomness;
  readonly timing: Timing;
  readonly machine: LockMachine;
  readonly epoch: number;
  readonly report: Report;
  /** Why this node may not vote, or null. */
  readonly whyNot: () => string | null;
};

/** Questions after which a value is asked for once more, if none has come. */
const PATIENT_TRIES = 20;
/** What members said is kept, the last of it: two may not stand at one instance at the same moment. */
const STANDINGS_MAX = 64;

/** What a member says of its record; null: nothing came. */
type Said =
  & { readonly from: NodeId }
  & (
    | { readonly type: "sound"; readonly snapshot: Snapshot }
    | { readonly type: "wrong"; readonly reason: string }
    /** Its record is of the epoch before, and says nothing in this one. */
    | { readonly type: "unmoved"; readonly reason: string }
    | { readonly type: "silent"; readonly reason: string }
  );
type Wrong = Exclude<OwnRecord, { type: "sound" }>;

export class Repairer {
  readonly #parts: RepairerParts;

  constructor(parts: RepairerParts) {
    this.#parts = parts;
  }

  async plan(key: string): Promise<RepairPlan> {
    this.#assertVoting();
    const { acceptor } = this.#parts;
    const own = await acceptor.mending.look(key);
    if (own.type !== "sound") acceptor.stopped.note(key, own.reason);
    const said = await this.#ask(key);
    return { members: this.#members(own, said), ...this.#advice(own, said) };
  }

  async repair(key: string, accept: string | null, timeoutMs: number): Promise<Repaired> {
    this.#assertVoting();
    const { mending } = this.#parts.acceptor;
    const done = await mending.mend(
      key,
      (own, install) =>
        accept === null ? this.#repaired(key, own, install, timeoutMs) : this.#accepted(key, accept, own, install),
    );
    return this.#outcome(key, accept === null ? "repaired" : "accepted", done);
  }

  #outcome(
    key: string,
    outcome: "repaired" | "accepted",
    done: Snapshot | Extract<OwnRecord, { type: "sound" }>,
  ): Repaired {
    if ("type" in done) return { outcome: "sound", ...this.#named(done.snapshot) };
    const named = this.#named(done);
    this.#parts.report(
      `${JSON.stringify(key)} answers here again: its record was ${outcome}, at instance ${named.instance}`,
      { event: "key-repaired", level: "warn", names: [key] },
    );
    return { outcome, ...named };
  }

  #assertVoting(): void {
    const reason = this.#parts.whyNot();
    if (reason !== null) throw new QuorateError("not-ready", reason);
  }

  async #repaired(key: string, own: Wrong, install: Install, timeoutMs: number): Promise<Snapshot> {
    const { acceptor, clock, timing, machine } = this.#parts;
    const { me, quorums } = acceptor.rules;
    const untilMs = clock.now() + timeoutMs;
    let standings: readonly Standing[] = [];
    let voted: number | null = null;
    let said: readonly Said[] = [];
    let asked = { at: 0, tries: 0 };
    for (let tries = 0; tries === 0 || clock.now() < untilMs; tries++) {
      said = await this.#ask(key);
      const now = said.flatMap((one) => one.type === "sound" ? [{ from: one.from, snapshot: one.snapshot }] : []);
      standings = [...standings, ...now].slice(-STANDINGS_MAX);
      // Where they stood first: it has been silent since before that.
      voted ??= lastVoted(quorums, me, now);
      const snapshot = voted === null ? null : stateAbove(quorums, me, voted, standings);
      if (snapshot !== null) return await this.#installed(own, install, snapshot);
      const newest = Math.max(...now.map((one) => one.snapshot.instance));
      const isWanted = voted !== null && (newest <= voted ? newest !== asked.at : false);
      if (isWanted || (now.length > 0 && tries - asked.tries >= PATIENT_TRIES)) {
        asked = { at: newest, tries };
        await this.#decideOne(key, now, tries);
      }
      await new Promise<void>((resolve) => clock.after(timing.loserMs(), resolve));
    }
    const detail = `too few other members agree: ${saidBy(machine, said)}; nothing has changed in this node's record`;
    throw new QuorateError("no-quorum", detail, { outcome: "none" });
  }

  async #installed(own: Wrong, install: Install, snapshot: Snapshot): Promise<Snapshot> {
    const { machine, epoch } = this.#parts;
    const record = recordAnew(machine, epoch, snapshot);
    if (record === null) {
      throw new QuorateError("precondition-failed", "the state that was sent is not what its hash is of");
    }
    if (own.type === "stopped" && own.snapshot.instance >= snapshot.instance) {
      const detail = `this node's record stands at instance ${own.snapshot.instance}, and others only at ` +
        `${snapshot.instance}: one of them is wrong`;
      throw new QuorateError("precondition-failed", detail);
    }
    if (!await install(record)) throw new QuorateError("not-ready", "its record has changed meanwhile; look again");
    return snapshot;
  }

  /** A command that changes nothing, by one member after another: the instance ends by it, or before it. */
  async #decideOne(key: string, standings: readonly Standing[], tries: number): Promise<void> {
    const { transport, random, epoch, acceptor } = this.#parts;
    const to = standings[tries % standings.length];
    if (to === undefined) return;
    const { instance } = to.snapshot;
    const op = { type: "keep-places", places: [] } as const;
    const command = { subject: acceptor.rules.me, id: random.id(), born: instance, op };
    await transport.send(to.from, { type: "forward", key, epoch, instance, commands: [command] }).catch(() => {});
  }

  async #accepted(key: string, hash: string, own: Wrong, install: Install): Promise<Snapshot> {
    const { machine } = this.#parts;
    const said = await this.#ask(key);
    const { canAgree } = this.#counts(said);
    if (canAgree) {
      const detail = `it is not for a person to say: the records of enough members may be sound; ${
        saidBy(machine, said)
      }`;
      throw new QuorateError("precondition-failed", detail);
    }
    const held = snapshotsOf(own, said);
    const chosen = held.find((snapshot) => wholeHashOf(machine, snapshot.state) === hash);
    if (chosen === undefined) {
      const hashes = held.map(({ state }) => wholeHashOf(machine, state)).join(", ") || "none";
      throw new QuorateError(
        "precondition-failed",
        `no state with that hash can be read from here; there are: ${hashes}`,
      );
    }
    const instance = Math.max(...held.map((snapshot) => snapshot.instance)) + ACCEPT_STEP;
    if (instance % RESTORE_STEP < ACCEPT_STEP) {
      throw new QuorateError("precondition-failed", "its instances have no more room: restore a backup");
    }
    return await this.#installed(own, install, { ...chosen, instance, decidedBy: null });
  }

  /** Everybody but this node, each once, within the transport's deadline. */
  async #ask(key: string): Promise<readonly Said[]> {
    const { acceptor, transport, epoch } = this.#parts;
    const { me, quorums } = acceptor.rules;
    const message = { type: "read", key, epoch, instance: 1 } as const;
    return await Promise.all(
      quorums.members.filter((member) => member !== me).map(async (from): Promise<Said> => {
        try {
          const reply = await transport.send(from, message);
          if (reply.type === "view") return { from, type: "sound", snapshot: reply.snapshot };
          if (reply.type === "stopped") return { from, type: "wrong", reason: reply.reason };
          if (reply.type === "unimported") {
            return { from, type: "unmoved", reason: `the name has not moved to epoch ${epoch} there` };
          }
          return { from, type: "silent", reason: "reason" in reply ? reply.reason : "it answered something else" };
        } catch (error) {
          return { from, type: "silent", reason: error instanceof Error ? error.message : "it does not answer" };
        }
      }),
    );
  }

  /** `agree`: enough others are sound. `canAgree`: they may be, once all are heard. */
  #counts(said: readonly Said[]): { readonly agree: boolean; readonly canAgree: boolean } {
    const { quorums } = this.#parts.acceptor.rules;
    const those = (some: readonly Said[]) => new Set(some.map(({ from }) => from));
    return {
      agree: quorums.isPhase1(those(said.filter(({ type }) => type === "sound"))),
      canAgree: quorums.isPhase1(those(said.filter(({ type }) => type !== "wrong"))),
    };
  }

  #members(own: OwnRecord, said: readonly Said[]): readonly RepairMember[] {
    const { me } = this.#parts.acceptor.rules;
    const self: RepairMember = own.type === "damaged" ? { id: me, record: "damaged", reason: own.reason } : {
      id: me,
      record: own.type,
      ...this.#named(own.snapshot),
      ...(own.type === "stopped" ? { reason: own.reason } : {}),
    };
    const others = said.map((one): RepairMember =>
      one.type === "sound"
        ? { id: one.from, record: "sound", ...this.#named(one.snapshot) }
        : { id: one.from, record: one.type === "wrong" ? "stopped" : "silent", reason: one.reason }
    );
    return [self, ...others].sort((a, b) => a.id < b.id ? -1 : 1);
  }

  #advice(own: OwnRecord, said: readonly Said[]): Pick<RepairPlan, "action" | "detail"> {
    if (own.type === "sound") return { action: "none", detail: "its record here is sound: there is nothing to repair" };
    const { agree, canAgree } = this.#counts(said);
    if (agree) {
      const newest = Math.max(...said.map((one) => one.type === "sound" ? one.snapshot.instance : 0));
      return {
        action: "repair",
        detail:
          `members decide values that change nothing, until they stand above instance ${
            newest + 1
          }; then the state that ` +
          "enough of them hold there takes the place of this node's record",
      };
    }
    if (canAgree) {
      const isUnmoved = said.some(({ type }) => type === "unmoved");
      return {
        action: "wait",
        detail: isUnmoved
          ? "the name has not moved to the new members yet: bring back those from before that are silent; once it has moved it " +
            "can be repaired"
          : "too few other members answer with a sound record: bring back those that are silent",
      };
    }
    const { machine } = this.#parts;
    const hashes = [...new Set(snapshotsOf(own, said).map(({ state }) => wholeHashOf(machine, state)))];
    return {
      action: "accept",
      detail: hashes.length === 0
        ? "the records of too many members are wrong, and no state can be read from here: ask another node, or restore a backup"
        : "the records of too many members are wrong for the rest to decide anything: a person has to say which state it is to " +
          `be, by its hash. From here can be read: ${hashes.join(", ")}. What was decided after it is lost`,
    };
  }

  #named({ instance, state }: Snapshot): { readonly instance: number; readonly hash: string } {
    return { instance, hash: wholeHashOf(this.#parts.machine, state) };
  }
}

function snapshotsOf(own: OwnRecord, said: readonly Said[]): readonly Snapshot[] {
  return [
    ...(own.type === "damaged" ? [] : [own.snapshot]),
    ...said.flatMap((one) => one.type === "sound" ? [one.snapshot] : []),
  ];
}

const SAYS = { wrong: "has stopped", unmoved: "says nothing of it", silent: "is silent" } as const;

function saidBy(machine: LockMachine, said: readonly Said[]): string {
  return said.map((one) =>
    one.type === "sound"
      ? `${one.from} holds ${wholeHashOf(machine, one.snapshot.state)} at instance ${one.snapshot.instance}`
      : `${one.from} ${SAYS[one.type]} (${one.reason})`
  ).join("; ");
}

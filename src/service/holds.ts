/** What is granted already: renewed, confirmed for an answer, given back, ended. */
import type { ReleaseOutcome } from "../api.ts";
import type { QuorateError } from "../errors.ts";
import type { Ended, Hold, Op, Proclaim, Release, Renew } from "../machine/op.ts";
import { holdOfFence, viewGrants, viewHistory } from "../machine/view.ts";
import { endLapsedPlaces } from "../leases/expiry.ts";
import { Confirmations } from "./confirmations.ts";
import { confirmIdOf } from "./grant_ids.ts";
import type { Granted, GrantParts, Noun } from "./grant_parts.ts";
import type { State } from "../paxos/message.ts";
import { ownState } from "../replica/own_state.ts";
import type { Outcome } from "../replica/pending.ts";
import { byReadOr, holdsFence } from "./read_answers.ts";
import { lost, orUnknown, unexpected } from "./results.ts";
import type { Caller } from "./service.ts";

export class Holds {
  readonly #parts: GrantParts;
  readonly #noun: Noun;
  readonly #confirmations: Confirmations;

  constructor(parts: GrantParts, noun: Noun) {
    this.#parts = parts;
    this.#noun = noun;
    this.#confirmations = new Confirmations(parts.clock);
  }

  /** A renewal is applied each time it is sent, whatever its key: what is told of it counts from its own request. */
  async renew(name: string, op: Renew | Proclaim, given: Caller): Promise<Granted> {
    const { fence, ttlMs } = op;
    // What a leader says is a write, applied once. It goes with a renewal of this request's own.
    const isWrite = op.type === "proclaim" && op.value !== undefined && given.hedge === undefined;
    const renewal = isWrite ? { type: "renew", fence, ...(ttlMs === undefined ? {} : { ttlMs }) } as const : op;
    const untilMs = this.#parts.clock.now() + given.timeoutMs;
    const rest = () => ({ ...given, timeoutMs: Math.max(1, untilMs - this.#parts.clock.now()) });
    const renewId = given.hedge === undefined ? this.#parts.random.id() : given.idempotencyKey;
    const decided = await this.#unlessOver(name, renewal, given, renewId, async (caller) => {
      this.#confirmations.now(name, fence);
      const [renewed, written] = await Promise.all([
        this.submit(name, renewal, caller, renewId),
        isWrite ? this.submit(name, op, caller) : null,
      ]);
      if (written === null || !isRenewed(renewed)) return renewed;
      return isRenewed(written) && written.instance <= renewed.instance ? renewed : written;
    });
    const renewed = renewedIn(decided, fence);
    if (renewed === null) throw notRenewed(decided, fence, given);
    const { session } = renewed.hold;
    // It has no lease of its own: what the caller is told of counts from a renewal of its session.
    if (session !== undefined) {
      await this.#parts.bindings.keep(session, rest()).catch(orUnknown(given.idempotencyKey));
    }
    return { ...renewed, waitedMs: 0 };
  }

  /** Keeps what nobody was told of yet alive, for as long as somebody asks for it; null where it is gone. */
  async keepProvisional(name: string, { fence }: Hold, caller: Caller): Promise<Granted | null> {
    const outcome = await this.submit(name, { type: "renew", fence, keeps: true }, caller, this.#parts.random.id());
    const renewed = renewedIn(outcome, fence);
    return renewed === null ? null : { ...renewed, waitedMs: 0 };
  }

  async release(name: string, fence: string, caller: Caller) {
    const op = { type: "release", fence, atMs: this.label(caller) } as const;
    const free = async (rest: Caller) => {
      await this.#clearPlaces(name, rest.timeoutMs);
      this.#confirmations.now(name, fence);
      return await this.submit(name, op, rest);
    };
    const { result, state, receipt } = await this.#unlessOver(name, op, caller, caller.idempotencyKey, free);
    switch (result.outcome) {
      case "released":
      case "already-released":
      case "taken-over":
      case "forced":
      case "ended": {
        const outcome: ReleaseOutcome = result.outcome;
        return { outcome, revision: viewGrants(state).revision, receipt };
      }
      default:
        throw unexpected(result, fence, receipt);
    }
  }

  /** What a command about a fence comes to that nothing shows held by its caller, by a read; else what it is decided to. */
  #unlessOver(
    name: string,
    op: Renew | Proclaim | Release,
    caller: Caller,
    id: string,
    decide: (rest: Caller) => Promise<Outcome>,
  ): Promise<Outcome> {
    const isThere = (state: State) => holdsFence(state, caller.subject, op.fence);
    return byReadOr(this.#parts, this.#noun.prefix + name, { op, id, isThere }, caller, decide);
  }

  /**
   * Gives a hold back if its lease is still this one: else somebody has taken it up since, and it is theirs. Resolves with
   * whether it was this one.
   */
  async giveBack(name: string, { fence, by }: Hold, caller: Caller): Promise<boolean> {
    const op = { type: "release", fence, by, atMs: this.label(caller) } as const;
    const { result } = await this.submit(name, op, caller, this.#parts.random.id());
    return result.outcome !== "renewed";
  }

  async force(name: string, reason: string, caller: Caller) {
    await this.#clearPlaces(name, caller.timeoutMs);
    const op = { type: "force", reason, atMs: this.label(caller) } as const;
    const { result, state, receipt } = await this.submit(name, op, caller);
    if (result.outcome !== "forced-all") throw unexpected(result, "", receipt);
    const body = { outcome: "forced", count: result.count, revision: viewGrants(state).revision } as const;
    return { body, receipt };
  }

  /**
   * Renews, for an answer that is about to be given: two commands in one value. `isFirst`: nobody can have been answered
   * by an earlier confirmation. Null where the hold is gone.
   * @param id of the command that was granted
   */
  async confirm(
    name: string,
    hold: Hold,
    id: string,
    caller: Caller,
  ): Promise<Omit<Granted, "waitedMs"> & { readonly isFirst: boolean } | null> {
    const { machine, random } = this.#parts;
    const { subject } = caller;
    const [renewId, confirmId] = [random.id(), confirmIdOf(id)];
    // One of this answer's own, whose send the bounds count from, and one under an id made from the command's, by
    // which a late repetition of the request sees that it was answered.
    const [renewed, answered] = await Promise.all([
      this.#renewed(name, hold, caller, renewId),
      this.submit(name, { type: "renew", fence: hold.fence, answers: true }, caller, confirmId),
    ]);
    if (renewed === null) return null;
    // They go in one value. If the one for all is older, another node may have answered by it.
    const [own, first] = [renewId, confirmId].map((made) => machine.appliedAt(answered.state, subject, made));
    return { ...renewed, id, isFirst: own !== null && own === first };
  }

  /** The confirmation of what is answered already. */
  confirmLater(name: string, { fence }: Hold, id: string, caller: Caller): void {
    this.#confirmations.later(name, fence, () => {
      // Where it fails the hold lapses soon, unless its holder renews it, as it said it would.
      this.submit(name, { type: "renew", fence, answers: true }, caller, confirmIdOf(id)).catch(() => {});
    });
  }

  /** Renews what was granted before for this request, which the bounds then count from. */
  async again(name: string, hold: Hold, caller: Caller, startedMs: number): Promise<Granted> {
    const waitedMs = this.#parts.clock.now() - startedMs;
    const renewed = await this.#renewed(name, hold, caller).catch(orUnknown(caller.idempotencyKey));
    if (renewed === null) throw lost(hold.fence);
    return { ...renewed, waitedMs, isReplayed: true };
  }

  async #renewed(
    name: string,
    { fence, session }: Hold,
    caller: Caller,
    id = this.#parts.random.id(),
  ): Promise<Omit<Granted, "waitedMs"> | null> {
    const [outcome] = await Promise.all([
      this.submit(name, { type: "renew", fence }, caller, id),
      session === undefined ? null : this.#parts.bindings.bind(session, this.#noun.prefix + name, caller),
    ]);
    return renewedIn(outcome, fence);
  }

  /** What is about to be freed must not be handed to a place that nobody keeps any more. */
  async #clearPlaces(name: string, timeoutMs: number): Promise<void> {
    const key = this.#noun.prefix + name;
    const state = await ownState(this.#parts, key, timeoutMs);
    if (state !== null) await endLapsedPlaces(this.#parts, key, state);
  }

  /** When it was asked for, for people; a hedged command carries none, as it must be the same wherever it is made. */
  label({ hedge }: Caller): number {
    return hedge === undefined ? this.#parts.clock.wall() : 0;
  }

  /** @param id of the command; the caller is told of its own key */
  submit(
    name: string,
    op: Op,
    { subject, idempotencyKey, timeoutMs, hedge }: Caller,
    id = idempotencyKey,
  ): Promise<Outcome> {
    return this.#parts.submitters.submit(this.#noun.prefix + name, {
      subject,
      id,
      op,
      timeoutMs,
      idempotencyKey,
      ...(hedge === undefined ? {} : { hedge }),
    });
  }
}

function renewedIn({ result, state, receipt }: Outcome, fence: string): Omit<Granted, "waitedMs"> | null {
  const hold = result.outcome === "renewed" ? holdOfFence(state, fence) : null;
  return hold === null ? null : { hold, state, receipt };
}

function isRenewed({ result }: Outcome): boolean {
  return result.outcome === "renewed";
}

function notRenewed({ result, state, receipt }: Outcome, fence: string, { subject }: Caller): QuorateError {
  if (result.outcome !== "renewed" && result.outcome !== "lost") return unexpected(result, fence, receipt);
  // How somebody else's ended is not this subject's to learn.
  const isOwn = (item: Ended) => item.fence === fence && item.subject === subject;
  return lost(fence, receipt, viewHistory(state).items.find(isOwn)?.end);
}

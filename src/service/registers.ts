/** Registers as users know them: one value a key, written under conditions that are decided with the write. */
import type { Answer, KvDeleted, KvItem, KvValue, KvWritten, Page, Receipt } from "../api.ts";
import { QuorateError } from "../errors.ts";
import type { Conditions, Delete, Put, Result } from "../machine/op.ts";
import { holdingSessions, viewRegister } from "../machine/view.ts";
import type { LeaseName, State } from "../paxos/message.ts";
import type { Bindings } from "./bindings.ts";
import { endLapsed, type Expiry, spread } from "../leases/expiry.ts";
import { haveLapsed, lapsedOf, orNullIfHeld } from "../replica/lapse.ts";
import { KEY_PREFIXES } from "../nouns.ts";
import { ownState } from "../replica/own_state.ts";
import type { Outcome } from "../replica/pending.ts";
import type { QueueParts } from "../leases/queue.ts";
import { byReadOr } from "./read_answers.ts";
import { RegisterViews } from "./views/register.ts";
import { type Found, type ReadParts, Reads } from "./reads.ts";
import { orUnknown, sessionEnded, unexpected } from "./results.ts";
import type { Caller, ListRequest, PutRequest, ReadAnswer, ReadOptions, RegisterService } from "./service.ts";
import type { SessionEnds } from "../leases/session_ends.ts";

type RegisterParts = QueueParts & ReadParts & {
  readonly expiry: Expiry;
  readonly bindings: Bindings;
  readonly ends: SessionEnds;
};

const PREFIX = KEY_PREFIXES.kv;
/** A value that ran out is ended by who reads it; each time it may have been put again meanwhile. */
const READS_MAX = 3;
/** So often a page is filled up for names that have no value any more. */
const LIST_PAGES_MAX = 100;

export class Registers implements RegisterService {
  readonly #parts: RegisterParts;
  readonly #reads: Reads;
  readonly #views: RegisterViews;

  constructor(parts: RegisterParts) {
    this.#parts = parts;
    this.#views = new RegisterViews(parts.leases);
    this.#reads = new Reads(parts, PREFIX);
  }

  async put(name: string, request: PutRequest, caller: Caller): Promise<Answer<KvWritten>> {
    const { ttlMs, session } = request;
    const untilMs = this.#parts.clock.now() + caller.timeoutMs;
    // Entered there first: whoever ends the session must find what to free.
    if (session !== undefined) await this.#parts.bindings.bind(session, PREFIX + name, caller);
    const timeoutMs = Math.max(1, untilMs - this.#parts.clock.now());
    const { result, receipt } = await this.#write(name, { type: "put", ...request }, { ...caller, timeoutMs });
    if (result.outcome === "session-ended" && session !== undefined) throw sessionEnded(session, receipt);
    if (result.outcome !== "written") throw refusal(name, result, receipt);
    if (ttlMs !== undefined) this.#parts.expiry.watch(PREFIX + name, ttlMs);
    const life = { ...(ttlMs === undefined ? {} : { ttlMs }), ...(session === undefined ? {} : { session }) };
    return { body: { key: name, revision: result.revision, ...life }, receipt };
  }

  async delete(name: string, conditions: Conditions, caller: Caller): Promise<Answer<KvDeleted>> {
    const op = { type: "delete", ...conditions } as const;
    const { result, receipt } = await this.#deleted(name, op, caller);
    if (result.outcome !== "deleted") throw refusal(name, result, receipt);
    return { body: { outcome: "deleted", key: name, revision: result.revision }, receipt };
  }

  /**
   * As a read has it that nothing is there to delete, without a write. Not for who brought a key: an earlier try of theirs may
   * be under way, and would delete what somebody writes after this answer.
   */
  #deleted(name: string, op: Delete, caller: Caller): Promise<Outcome> {
    const write = (rest: Caller) => this.#write(name, op, rest);
    // A fence that is seen is kept, whatever becomes of the write.
    if (caller.anonymous !== true || op.fence !== undefined) return write(caller);
    const isThere = (state: State) => viewRegister(state).value !== null;
    return byReadOr(this.#parts, PREFIX + name, { op, id: caller.idempotencyKey, isThere }, caller, write);
  }

  async get(name: string, options: ReadOptions): Promise<ReadAnswer<KvValue>> {
    const { state, receipt, staleMs } = await this.#live(name, options);
    const body = this.#views.value(name, state);
    if (body === null) throw noValue(name, viewRegister(state).revision, receipt);
    return { body, receipt, ...(staleMs === undefined ? {} : { staleMs }) };
  }

  async list({ limit, values, ...request }: ListRequest & { readonly values: boolean }): Promise<Page<KvItem>> {
    const items: KvItem[] = [];
    let { cursor } = request;
    for (let pages = 0; pages < LIST_PAGES_MAX; pages++) {
      const page = await this.#reads.list({ ...request, cursor, limit: limit - items.length }, async (name) => {
        const { key, state } = await this.#live(name, { stale: false, timeoutMs: request.timeoutMs });
        return this.#views.item(name, key, state, values);
      });
      items.push(...page.items);
      cursor = page.cursor;
      if (cursor === null || items.length === limit) break;
    }
    return { items, cursor };
  }

  /** What a reader may be shown: a value whose lease ran out, as a quorum sees it, has ended before it is. */
  async #live(name: string, options: ReadOptions): Promise<Found & { readonly staleMs?: number }> {
    for (let i = 1;; i++) {
      const found = await this.#reads.get(name, options);
      if (options.stale || i === READS_MAX) return found;
      await spread(this.#parts, found.key, found.snapshot);
      const lapsed = this.#lapsed(found.key, found.state);
      // Until its end is decided the value is there, and where that cannot be decided now it is what a reader sees.
      const hasEnded = lapsed.length > 0
        ? await endLapsed(this.#parts, found.key, lapsed).catch(() => false)
        : await this.#parts.ends.clear(found.key, holdingSessions(found.state), options.timeoutMs).catch(() => false);
      if (!hasEnded) return found;
    }
  }

  #lapsed(key: string, state: State): readonly LeaseName[] {
    const { machine, leases } = this.#parts;
    return lapsedOf(leases, key, machine.leases(state));
  }

  async #write(name: string, op: Put | Delete, caller: Caller): Promise<Outcome> {
    const { machine, clock, submitters, ends } = this.#parts;
    const key = PREFIX + name;
    const { subject, idempotencyKey: id, hedge, born } = caller;
    const untilMs = clock.now() + caller.timeoutMs;
    const submit = (claims?: readonly LeaseName[]) =>
      submitters.submit(key, {
        subject,
        id,
        op,
        timeoutMs: Math.max(1, untilMs - clock.now()),
        idempotencyKey: id,
        ...(hedge === undefined ? {} : { hedge }),
        ...(born === undefined ? {} : { born }),
        ...(claims === undefined ? {} : { claims }),
      });
    // Only a condition can hang on whether the value that ran out has ended; hedged bytes must be the same everywhere.
    if (hedge !== undefined || (op.ifMatch === undefined && op.ifNoneMatch === undefined)) return submit();
    const state = await ownState(this.#parts, key, caller.timeoutMs);
    if (state === null) return submit();
    await ends.clear(key, holdingSessions(state), caller.timeoutMs);
    const lapsed = this.#lapsed(key, state);
    const isNew = machine.lookup(state, subject, id) === null;
    if (isNew && lapsed.length > 0 && await haveLapsed(this.#parts, key, lapsed)) {
      // With its claim it may have got votes.
      return await submit(lapsed).catch(orNullIfHeld) ?? await submit().catch(orUnknown(id));
    }
    return submit();
  }
}

function refusal(name: string, result: Result, receipt: Receipt): QuorateError {
  switch (result.outcome) {
    case "precondition-failed": {
      const more = { revision: result.revision };
      return new QuorateError("precondition-failed", `${name} is not as the request says it must be`, {
        receipt,
        more,
      });
    }
    case "fence-too-low": {
      const more = { fence: result.fence };
      return new QuorateError("fence-too-low", `${name} has seen fence ${result.fence}`, { receipt, more });
    }
    case "absent":
      return noValue(name, result.revision, receipt);
    default:
      return unexpected(result, "", receipt);
  }
}

function noValue(name: string, revision: string, receipt: Receipt): QuorateError {
  return new QuorateError("not-found", `${name} has no value`, { receipt, more: { revision } });
}

/** A register: one value, whose writes may depend on its revision and on the fence of the writer's grant elsewhere. */
import type { LeaseName } from "../paxos/message.ts";
import { compareDecimals } from "./fence.ts";
import type { Conditions, Delete, Put, Result } from "./op.ts";
import { fitsRow } from "./size.ts";
import { change, type Draft, isOfEndedSession, type Register, type RegisterValue } from "./state.ts";

export const VALUE_LEASE_ID = "value";

const NEVER_WRITTEN: Register = { value: null, fence: "0" };

type Refused = Extract<Result, { readonly outcome: "precondition-failed" | "fence-too-low" }>;
type Written = Refused | Extract<Result, { readonly outcome: "written" | "too-large" | "session-ended" }>;
type Deleted = Refused | Extract<Result, { readonly outcome: "deleted" | "absent" }>;

export function put(draft: Draft, op: Put): Written {
  const { bytes, contentType, ttlMs, session } = op;
  if (isOfEndedSession(draft, session)) return { outcome: "session-ended" };
  const refused = refusal(draft, op);
  if (refused !== null) return refused;
  const value = {
    bytes,
    contentType,
    ...(ttlMs === undefined ? {} : { lease: { by: draft.by, ttlMs } }),
    ...(session === undefined ? {} : { session }),
  };
  if (!fitsRow(draft, value)) return { outcome: "too-large" };
  const before = draft.register?.value ?? null;
  keep(draft, { value });
  // Who keeps its value alive says nothing new; watchers would be woken for nothing, and tags made stale.
  if (!isRenewal(before, value)) change(draft);
  return { outcome: "written", revision: draft.revision };
}

export function remove(draft: Draft, op: Delete): Deleted {
  const refused = refusal(draft, op);
  if (refused !== null) return refused;
  if (!hasValue(draft)) return { outcome: "absent", revision: draft.revision };
  keep(draft, { value: null });
  change(draft);
  return { outcome: "deleted", revision: draft.revision };
}

/** Ends the value where it still has the lease that the claim names. */
export function endValue(draft: Draft, { id, by }: LeaseName): void {
  if (id !== VALUE_LEASE_ID || draft.register?.value?.lease?.by !== by) return;
  keep(draft, { value: null });
  change(draft);
}

/** Ends the value if it is bound to this session; whether it was. */
export function endBoundValue(draft: Draft, session: string): boolean {
  if (draft.register?.value?.session !== session) return false;
  keep(draft, { value: null });
  return true;
}

function refusal(draft: Draft, { ifMatch, ifNoneMatch, fence }: Conditions): Refused | null {
  if (fence !== undefined) {
    const highest = draft.register?.fence ?? "0";
    if (compareDecimals(fence, highest) < 0) return { outcome: "fence-too-low", fence: highest };
    // Seen is seen: whatever becomes of this write, a later one of an older grant is too late.
    keep(draft, { fence });
  }
  const revision = hasValue(draft) ? draft.revision : "0";
  const isNamed = (tags: readonly string[]) => revision !== "0" && (tags.includes("*") || tags.includes(revision));
  const holds = (ifMatch === undefined || isNamed(ifMatch)) && (ifNoneMatch === undefined || !isNamed(ifNoneMatch));
  return holds ? null : { outcome: "precondition-failed", revision };
}

function hasValue({ register }: Draft): boolean {
  return register !== null && register.value !== null;
}

function keep(draft: Draft, news: Partial<Register>): void {
  draft.kind = "register";
  const { value, fence } = { ...NEVER_WRITTEN, ...draft.register, ...news };
  draft.register = { value, fence };
}

function isRenewal(before: RegisterValue | null, after: RegisterValue): boolean {
  if (before === null || (before.lease === undefined && before.session === undefined)) return false;
  return before.lease?.ttlMs === after.lease?.ttlMs && before.session === after.session &&
    before.bytes === after.bytes && before.contentType === after.contentType;
}

/** Whether leases that a value claims have run out, by this acceptor's own clock (PROTOCOL.md §7). */
import { DRIFT } from "../limits.ts";
import {
  type AcceptorRecord,
  type AcceptorReply,
  type AskLapsed,
  type Envelope,
  leaseKey,
  type LeaseName,
} from "./message.ts";
import type { AcceptorRules } from "./record.ts";

export function lapsed(
  rules: AcceptorRules,
  record: AcceptorRecord,
  message: AskLapsed,
  envelope: Envelope,
): AcceptorReply {
  const remainingMs = remaining(rules, record, message.leases, envelope);
  return { type: "lapsed", instance: record.instance, remainingMs };
}

/**
 * How long until this acceptor may vote for a value that claims these leases: 0 if now (§7). A lease that is not
 * in the state was renewed or ended meanwhile, so the claim is void: Infinity is no JSON, so its whole range.
 */
export function remaining(
  rules: AcceptorRules,
  record: AcceptorRecord,
  claims: readonly LeaseName[],
  envelope: Envelope,
): number {
  if (claims.length === 0) return 0;
  const terms = new Map(rules.machine.leases(record.state).map((lease) => [leaseKey(lease), lease.ttlMs]));
  return Math.max(...claims.map((claim) => {
    const ttlMs = terms.get(leaseKey(claim));
    if (ttlMs === undefined) return Number.MAX_SAFE_INTEGER;
    return Math.max(0, ttlMs * (1 + DRIFT) - (envelope.seenMs[leaseKey(claim)] ?? 0));
  }));
}

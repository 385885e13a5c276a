/** The shapes of api.ts for registers, from a decided state; null where there is no value. */
import type { KvItem, KvValue } from "../../api.ts";
import { VALUE_LEASE_ID } from "../../machine/register.ts";
import { viewRegister } from "../../machine/view.ts";
import type { State } from "../../paxos/message.ts";
import type { LeaseClock } from "../../replica/lease_clock.ts";
import { sessionKey } from "../../leases/session_ends.ts";

export class RegisterViews {
  readonly #leases: LeaseClock;

  constructor(leases: LeaseClock) {
    this.#leases = leases;
  }

  value(name: string, state: State): KvValue | null {
    const { value, revision } = viewRegister(state);
    return value === null ? null : { key: name, revision, contentType: value.contentType, value: value.bytes };
  }

  item(name: string, key: string, state: State, withValue: boolean): KvItem | null {
    const { value, revision } = viewRegister(state);
    if (value === null) return null;
    const { contentType, bytes, lease, session } = value;
    const item = { key: name, revision, contentType, sizeBytes: sizeOf(bytes), ...(withValue ? { value: bytes } : {}) };
    if (session !== undefined) return { ...item, session, ...this.#bounded(session) };
    if (lease === undefined) return item;
    const remaining = this.#leases.remainingMs(key, { id: VALUE_LEASE_ID, ...lease });
    return { ...item, ttlMs: lease.ttlMs, lapsesInMs: Math.ceil(remaining) };
  }

  /** Where this node has not seen the session yet, nothing is said. */
  #bounded(session: string) {
    const remaining = this.#leases.remainingOfKeyMs(sessionKey(session));
    return remaining === null ? {} : { lapsesInMs: Math.ceil(remaining) };
  }
}

/** How many bytes the base64 text stands for. */
function sizeOf(base64: string): number {
  const padding = base64.endsWith("==") ? 2 : base64.endsWith("=") ? 1 : 0;
  return base64.length / 4 * 3 - padding;
}

/** Locks whose requests and answers are shown to a trace. */
import type { Answer } from "../api.ts";
import { QuorateError } from "../errors.ts";
import { KEY_PREFIXES } from "./nouns.ts";
import type { Trace } from "./ports.ts";
import type { LockService } from "./service.ts";

/** `locks`, with each call for one name recorded when it comes and when it is answered. */
export function tracedLocks(locks: LockService, trace: Trace): LockService {
  const seen = async <A extends Answer<unknown>>(name: string, what: string, id: string, call: () => Promise<A>) => {
    const asked = { key: KEY_PREFIXES.lock + name, id, what };
    trace.record({ type: "request", ...asked });
    try {
      const answer = await call();
      trace.record({ type: "response", ...asked, outcome: "ok", receipt: answer.receipt });
      return answer;
    } catch (error) {
      const known = error instanceof QuorateError ? error : null;
      const receipt = known?.facts.receipt ?? null;
      trace.record({ type: "response", ...asked, outcome: known?.code ?? "failed", receipt });
      throw error;
    }
  };
  return {
    acquire: (name, request, caller) =>
      seen(name, "acquire", caller.idempotencyKey, () => locks.acquire(name, request, caller)),
    // Of several names: what was decided for each shows in the messages of that one.
    acquireAll: (names, request, caller) => locks.acquireAll(names, request, caller),
    renew: (name, fence, request, caller) =>
      seen(name, "renew", caller.idempotencyKey, () => locks.renew(name, fence, request, caller)),
    release: (name, fence, caller) =>
      seen(name, "release", caller.idempotencyKey, () => locks.release(name, fence, caller)),
    force: (name, reason, caller) =>
      seen(name, "force", caller.idempotencyKey, () => locks.force(name, reason, caller)),
    get: (name, options) => seen(name, "get", "", () => locks.get(name, options)),
    history: (name, options) => seen(name, "history", "", () => locks.history(name, options)),
    // Of no one name: each item is read on its own.
    list: (request) => locks.list(request),
  };
}

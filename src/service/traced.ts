/** Services of nouns whose requests and answers are shown to a trace. */
import type { Answer } from "../api.ts";
import { QuorateError } from "../errors.ts";
import { KEY_PREFIXES, type WatchedNoun } from "../nouns.ts";
import type { Trace } from "../ports.ts";
import type { Caller } from "./service.ts";

/** For several names, or for one that is not known yet: what was decided for each shows in the messages of that one. */
const OF_NO_ONE_NAME: ReadonlySet<string> = new Set(["acquireAll", "list", "open", "owns"]);

type Call = (name: string, ...rest: unknown[]) => Promise<Answer<unknown>>;

/** `service`, with each call for one name, its first argument, recorded when it comes and when it is answered. */
export function traced<S extends object>(noun: WatchedNoun, service: S, trace: Trace): S {
  return new Proxy(service, {
    get(target, what) {
      const call = (Reflect.get(target, what) as Call).bind(target);
      if (typeof what === "symbol" || OF_NO_ONE_NAME.has(what)) return call;
      return (name: string, ...rest: unknown[]) => {
        const { idempotencyKey: id = "" } = rest.at(-1) as Partial<Caller>;
        return seen(trace, { key: KEY_PREFIXES[noun] + name, id, what }, () => call(name, ...rest));
      };
    },
  });
}

async function seen<A extends Answer<unknown>>(
  trace: Trace,
  asked: { readonly key: string; readonly id: string; readonly what: string },
  call: () => Promise<A>,
): Promise<A> {
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
}

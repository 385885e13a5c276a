/**
 * The instance last seen of each name, so that a write can say when it was born: sent again, to whichever node and however
 * much later, it is then applied at most once.
 */
import type { Named } from "../http/named.ts";
import { GATEWAY_NAMES_MAX } from "../limits.ts";
import { Remembered } from "../remembered.ts";
import type { FailoverParts } from "./failover.ts";
import { callerOf, type Outgoing } from "./outgoing.ts";

/** A write waits so long for what its name has come to, or for some round trips, before it is sent without. */
const ASK_MIN_MS = 250;
const ASK_ROUND_TRIPS = 3;
const ASK_MAX_MS = 1_000;

export class Instances {
  readonly #last: Remembered<number>;

  constructor(max = GATEWAY_NAMES_MAX) {
    this.#last = new Remembered(max);
  }

  get({ key }: Named): number | undefined {
    const known = this.#last.get(key);
    // Whatever is asked for is kept longer than what is not.
    if (known !== undefined) this.#last.set(key, known);
    return known;
  }

  /** Answers overtake each other: what was seen of a name never becomes less. */
  note({ key }: Named, headers: Headers): void {
    const told = instanceIn(headers);
    if (told !== undefined) this.#last.set(key, Math.max(told, this.#last.get(key) ?? 0));
  }
}

/** What an answer says of the instance of its name; undefined: nothing that can be believed. */
export function instanceIn(headers: Headers): number | undefined {
  return instanceOf(headers.get("consensus-instance"));
}

export function instanceOf(text: string | null): number | undefined {
  if (text === null || !/^(0|[1-9][0-9]{0,15})$/.test(text)) return undefined;
  return Number.isSafeInteger(Number(text)) ? Number(text) : undefined;
}

/** A name so hot that each instance told is too old when it is sent: the last time it is sent without any. */
const EXPIRED_MAX = 3;

/** What a command that was born too long ago is sent with anew, if nothing was done by any try of it; undefined: without. */
export function bornAnew(born: number, told: number | undefined, expiries: number): number | undefined {
  return told !== undefined && told > born && expiries < EXPIRED_MAX ? told : undefined;
}

/** Asks a node for its own record of the name, for which it asks no other; `fetch` notes what it hears. */
export async function askForInstance(
  { nearest, fetch, clock }: FailoverParts,
  node: string,
  { headers, timeoutMs }: Outgoing,
  target: string,
  gone: AbortSignal,
): Promise<void> {
  const late = new AbortController();
  const giveUp = () => late.abort();
  const patienceMs = Math.min(ASK_MAX_MS, Math.max(ASK_MIN_MS, ASK_ROUND_TRIPS * nearest.rttMs(node)), timeoutMs / 2);
  const cancel = clock.after(patienceMs, giveUp);
  gone.addEventListener("abort", giveUp, { once: true });
  try {
    const init = { method: "HEAD", headers: callerOf(headers), redirect: "manual", signal: late.signal } as const;
    const response = await fetch(`${node}${target}`, init);
    await response.body?.cancel();
  } catch {
    // The write goes without it, and finds out by itself who is there.
  } finally {
    cancel();
    gone.removeEventListener("abort", giveUp);
  }
}

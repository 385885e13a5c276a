/**
 * What a node remembers of the newest real messages of each key, so that they can be drawn: small events, in rings of a
 * bounded size. Off unless the node was started with it.
 */
import type { Clock, NodeId, Sighting, Trace } from "../ports.ts";
import { collisionIn, type CollisionRemark, commandName, detailOf, type MessageDetail, valueName } from "./detail.ts";

export const TRACE_EVENTS_PER_KEY = 256;
export const TRACE_KEYS = 200;

/** Which node recorded it, as its how-manieth event; `atMs` is monotonic on one node and close to the wall's between. */
export type Stamp = { readonly node: NodeId; readonly seq: number; readonly atMs: number; readonly key: string };

/** Plain JSON. Ids of values, commands and ballots are shortened: enough to tell them apart, too little to use. */
export type TraceEvent =
  & Stamp
  & (
    | { readonly kind: "sent"; readonly to: NodeId; readonly message: MessageDetail }
    /** `reply` null: none came. */
    | {
      readonly kind: "answered";
      readonly from: NodeId;
      readonly message: MessageDetail;
      readonly reply: MessageDetail | null;
    }
    /** This node's own step on its record; `from` is itself for what never travels, "" for a client. */
    | {
      readonly kind: "handled";
      readonly from: NodeId;
      readonly message: MessageDetail;
      readonly reply: MessageDetail;
    }
    | {
      readonly kind: "decided";
      readonly instance: number;
      readonly ballot: string;
      /** Kind of the quorum, as in its certificate. */
      readonly by: "classic" | "open" | "inclusive";
      readonly how: "drove" | "counted";
      readonly value: string;
      readonly acceptors: readonly NodeId[];
    }
    | { readonly kind: "request"; readonly id: string; readonly what: string }
    | {
      readonly kind: "response";
      readonly id: string;
      readonly what: string;
      /** `ok`, or the code of the error. */
      readonly outcome: string;
      readonly receipt: { readonly path: string; readonly instance: number; readonly ballot: string } | null;
    }
    | CollisionRemark
  );

/** What of an event its kind says, without the stamp. */
type Unstamped<E> = E extends unknown ? Omit<E, keyof Stamp> : never;
type Body = Unstamped<TraceEvent>;

/** The newest events of the keys used last. */
export class TraceRing implements Trace {
  readonly on = true;
  readonly #node: NodeId;
  readonly #now: () => number;
  /** Least recently used first. */
  readonly #rings = new Map<string, TraceEvent[]>();
  #seq = 0;

  constructor(node: NodeId, clock: Clock) {
    this.#node = node;
    // The wall's as of the start, then monotonic: events of several nodes of one time can be told apart, and no jump
    // of the wall turns two of one node around.
    const offsetMs = clock.wall() - clock.now();
    this.#now = () => Math.round((clock.now() + offsetMs) * 1_000) / 1_000;
  }

  record(seen: Sighting): void {
    const key = keyOf(seen);
    if (key === null) return;
    const remark = collisionIn(seen);
    // What is detected comes before what is done about it.
    if (remark !== null && !this.#isKnown(key, remark)) this.#add(key, remark);
    this.#add(key, bodyOf(seen));
  }

  /** In the order they happened here; empty if nothing is known of the key. */
  events(key: string): readonly TraceEvent[] {
    return [...this.#rings.get(key) ?? []];
  }

  /** A message that comes again is detected only once. */
  #isKnown(key: string, { by, instance, values }: CollisionRemark): boolean {
    return (this.#rings.get(key) ?? []).some((event) =>
      event.kind === "remark" && event.by === by && event.instance === instance && sameList(event.values, values)
    );
  }

  #add(key: string, body: Body): void {
    const ring = this.#rings.get(key) ?? [];
    this.#rings.delete(key);
    this.#rings.set(key, ring);
    ring.push({ node: this.#node, seq: ++this.#seq, atMs: this.#now(), key, ...body });
    if (ring.length > TRACE_EVENTS_PER_KEY) ring.shift();
    if (this.#rings.size <= TRACE_KEYS) return;
    const [oldest] = this.#rings.keys();
    this.#rings.delete(oldest!);
  }
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i]);
}

/** null: about no key. */
function keyOf(seen: Sighting): string | null {
  if ("key" in seen) return seen.key;
  return "key" in seen.message ? seen.message.key : null;
}

function bodyOf(seen: Sighting): Body {
  switch (seen.type) {
    case "sent":
      return { kind: "sent", to: seen.to, message: detailOf(seen.message) };
    case "answered": {
      const reply = seen.reply === null ? null : detailOf(seen.reply);
      return { kind: "answered", from: seen.from, message: detailOf(seen.message), reply };
    }
    case "handled": {
      const { from, message, reply } = seen;
      return { kind: "handled", from, message: detailOf(message), reply: detailOf(reply) };
    }
    case "decided": {
      const { instance, ballot, kind, valueId, acceptors } = seen.certificate;
      const where = { instance, ballot: valueName(ballot.join(".")) };
      return { kind: "decided", ...where, by: kind, how: seen.how, value: valueName(valueId), acceptors };
    }
    case "request":
      return { kind: "request", id: commandName(seen.id), what: seen.what };
    case "response": {
      const { id, what, outcome, receipt } = seen;
      const short = receipt === null ? null : { ...receipt, ballot: valueName(receipt.ballot) };
      return { kind: "response", id: commandName(id), what, outcome, receipt: short };
    }
  }
}

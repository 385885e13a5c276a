/**
 * Where a process may die between getting something and answering it. Every `await` of the shipped code ends in one of
 * its ports, so watching the disk, the mailbox and the trace of a node names them all; a plan says at which to die.
 */
import type { AcceptorRecord } from "../../src/paxos/mod.ts";
import type { Sighting } from "../../src/ports.ts";
import { memberOf } from "./processes.ts";

export const CRASH_POINTS = [
  // The disk
  "vote made ready, not committed",
  "vote committed, nobody heard",
  "promise made ready, not committed",
  "promise committed, nobody heard",
  "decision made ready, not committed",
  "decision committed, nobody heard",
  "mark made ready, not committed",
  "mark committed, nobody heard",
  // The mailbox
  "message received, not looked at",
  "replies ready, not sent",
  // Between two steps of a role
  "request received, nothing done",
  "promise durable, reply not sent",
  "vote durable, reply not sent",
  "learned, reply not sent",
  "learned in memory, not written",
  "own promise durable, nobody else asked",
  "own vote durable, Accept! not sent",
  "own vote in a recovery durable, Accept! not sent",
  "own pick in an uncoordinated recovery durable, not told",
  "own decision durable, nobody told",
  "decision known, Learn not sent",
  "decision counted, own record not moved",
  "Accept! sent to some, not to all",
  "Learn sent to some, not to all",
  "commands forwarded, nothing heard",
  "collision reported, nothing done",
  "reply heard, not used",
  "answer ready, not given",
  "started, store not confirmed",
] as const;

/** Steps that only a process comes to whose store others serve as well. */
export const SHARED_POINTS = [
  "record read, nothing done",
  "outcome of a commit in doubt, not looked at",
] as const;

export type CrashPoint = typeof CRASH_POINTS[number] | typeof SHARED_POINTS[number];

/** Steps that few runs come to: only where proposers collide and what recovers from that gets through. */
export const RARE_POINTS: readonly CrashPoint[] = [
  "own vote in a recovery durable, Accept! not sent",
  "own pick in an uncoordinated recovery durable, not told",
  "collision reported, nothing done",
];

type Armed = { readonly point: CrashPoint; left: number; readonly crash: () => void };

export class CrashPoints {
  /** How often a node died there. */
  readonly hits = new Map<CrashPoint, number>();
  readonly #armed = new Map<string, Armed[]>();
  /** The last Accept! and Learn of each node, to know the second message of several. */
  readonly #last = new Map<string, string>();

  /** `node` dies the next time it comes to `point`, but for `skip` times. */
  arm(node: string, point: CrashPoint, skip: number, crash: () => void): void {
    this.#armed.set(node, [...this.#armed.get(node) ?? [], { point, left: skip, crash }]);
  }

  isArmed(node: string): boolean {
    return (this.#armed.get(node)?.length ?? 0) > 0;
  }

  disarm(): void {
    this.#armed.clear();
  }

  reached(node: string, point: CrashPoint): void {
    const armed = this.#armed.get(node);
    if (armed === undefined) return;
    for (const one of armed) {
      if (one.point !== point || one.left-- > 0) continue;
      this.#armed.set(node, armed.filter((other) => other !== one));
      this.hits.set(point, (this.hits.get(point) ?? 0) + 1);
      return one.crash();
    }
  }

  /** An atomic of `node` at one of its two moments; `before` is what its disk had of the key at the first. */
  atomic(node: string, moment: "ready" | "committed", changes: readonly Change[]): void {
    const done = moment === "ready" ? "made ready, not committed" : "committed, nobody heard";
    if (changes.length === 0) this.reached(node, `mark ${done}`);
    for (const what of new Set(changes)) this.reached(node, `${what} ${done}`);
  }

  sighted(node: string, sighting: Sighting): void {
    const point = this.#pointOf(node, sighting);
    if (point !== null) this.reached(node, point);
  }

  #pointOf(node: string, sighting: Sighting): CrashPoint | null {
    switch (sighting.type) {
      case "request":
        return "request received, nothing done";
      case "response":
        return sighting.outcome === "ok" ? "answer ready, not given" : null;
      case "answered":
        return sighting.reply === null ? null : "reply heard, not used";
      case "decided":
        return sighting.how === "drove" ? "decision known, Learn not sent" : "decision counted, own record not moved";
      case "handled":
        return handledPoint(node, sighting);
      case "sent": {
        const { message } = sighting;
        if (message.type === "marks") return "started, store not confirmed";
        if (message.type === "forward") return "commands forwarded, nothing heard";
        if (message.type !== "accept" && message.type !== "learn") return null;
        const name = `${message.type} ${message.key} ${message.instance}`;
        const isSecond = this.#last.get(`${node} ${message.type}`) === name;
        this.#last.set(`${node} ${message.type}`, name);
        if (!isSecond) return null;
        return message.type === "accept" ? "Accept! sent to some, not to all" : "Learn sent to some, not to all";
      }
    }
  }
}

function handledPoint(node: string, { from, message, reply }: Sighting & { type: "handled" }): CrashPoint | null {
  const isOwn = from === memberOf(node);
  if (message.type === "collision") return "collision reported, nothing done";
  switch (reply.type) {
    case "promise":
      return isOwn ? "own promise durable, nobody else asked" : "promise durable, reply not sent";
    case "accepted":
      return isOwn ? "own vote durable, Accept! not sent" : "vote durable, reply not sent";
    case "learned":
      if (reply.unsaved !== undefined) return "learned in memory, not written";
      return isOwn ? null : "learned, reply not sent";
    case "picked":
      return message.type === "pick"
        ? "own pick in an uncoordinated recovery durable, not told"
        : "own vote in a recovery durable, Accept! not sent";
    case "decided":
      return "own decision durable, nobody told";
    default:
      return null;
  }
}

export type Change = "vote" | "promise" | "decision";

/** What a write does to the record it replaces. */
export function changeOf(before: AcceptorRecord | null, after: AcceptorRecord): Change {
  if (after.instance > (before?.instance ?? 1)) return "decision";
  return JSON.stringify(after.vote) === JSON.stringify(before?.vote ?? null) ? "promise" : "vote";
}

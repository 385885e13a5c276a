/** Events of several nodes in one order: never an effect before its cause, and by their clocks where neither is. */
import type { NodeId } from "../ports.ts";
import type { MessageDetail } from "./detail.ts";
import type { TraceEvent } from "./trace.ts";

/**
 * Each node's own order stands; a message is sent before it is handled, and handled before its reply is there. Clocks
 * of different nodes only say what comes first of events that do not depend on each other.
 */
export function mergeTraces(traces: readonly (readonly TraceEvent[])[]): readonly TraceEvent[] {
  const events = traces.flat();
  const queues = [...new Set(events.map(({ node }) => node))].sort().map((node) =>
    events.filter((event) => event.node === node).sort((a, b) => a.seq - b.seq)
  );
  const causes = causesOf(queues);
  const merged: TraceEvent[] = [];
  const done = new Set<TraceEvent>();
  while (merged.length < events.length) {
    const heads = queues.flatMap((queue) => queue.slice(0, 1));
    const ready = heads.filter((head) => (causes.get(head) ?? []).every((cause) => done.has(cause)));
    // Messages are told apart by what they say, so after losses two like ones may have been taken for each other, and
    // then each waits for the other: time decides.
    const next = earliest(ready.length > 0 ? ready : heads);
    queues.find((queue) => queue[0] === next)!.shift();
    done.add(next);
    merged.push(next);
  }
  return merged;
}

function earliest(events: readonly TraceEvent[]): TraceEvent {
  return events.reduce((a, b) => b.atMs < a.atMs || (b.atMs === a.atMs && b.node < a.node) ? b : a);
}

/** What happened on another node before an event could: the first sending of a message is the first one handled. */
function causesOf(queues: readonly (readonly TraceEvent[])[]): ReadonlyMap<TraceEvent, readonly TraceEvent[]> {
  const sent = new Map<string, TraceEvent[]>();
  const handled = new Map<string, TraceEvent[]>();
  const answered = new Map<string, TraceEvent[]>();
  for (const event of queues.flat()) {
    if (event.kind === "sent") note(sent, nameOf(event.node, event.to, event.message), event);
    else if (event.kind === "handled") note(handled, nameOf(event.from, event.node, event.message), event);
    else if (event.kind === "answered" && event.reply !== null) {
      note(answered, nameOf(event.node, event.from, event.message), event);
    }
  }
  const causes = new Map<TraceEvent, TraceEvent[]>();
  const link = (from: ReadonlyMap<string, readonly TraceEvent[]>, to: ReadonlyMap<string, readonly TraceEvent[]>) => {
    for (const [name, effects] of to) {
      effects.forEach((effect, i) => {
        const cause = from.get(name)?.[i];
        if (cause !== undefined) causes.set(effect, [...causes.get(effect) ?? [], cause]);
      });
    }
  };
  link(sent, handled);
  link(handled, answered);
  return causes;
}

function note(into: Map<string, TraceEvent[]>, name: string, event: TraceEvent): void {
  const known = into.get(name);
  if (known === undefined) into.set(name, [event]);
  else known.push(event);
}

function nameOf(from: NodeId, to: NodeId, { type, instance, ballot, value, votes }: MessageDetail): string {
  return JSON.stringify([from, to, type, instance, ballot, value, votes]);
}

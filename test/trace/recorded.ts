/** Questions to recorded messages: what a flow must show is asserted from these, never from a drawing. */
import type { TraceEvent } from "../../src/observe/trace.ts";

type Of<K extends TraceEvent["kind"]> = TraceEvent & { readonly kind: K };

/** One message to several nodes, sent in one go. */
export type Wave = {
  readonly node: string;
  readonly type: string;
  readonly instance: number | undefined;
  readonly ballot: string | undefined;
  readonly value: string | undefined;
  readonly to: readonly string[];
};

export function ofKind<K extends TraceEvent["kind"]>(events: readonly TraceEvent[], kind: K): readonly Of<K>[] {
  return events.filter((event): event is Of<K> => event.kind === kind);
}

/** What was sent, like messages of one node together, in the order of their first. */
export function waves(events: readonly TraceEvent[]): readonly Wave[] {
  const found = new Map<string, Wave>();
  for (const { node, to, message } of ofKind(events, "sent")) {
    const { type, instance, ballot, value } = message;
    const name = JSON.stringify([node, type, instance, ballot, value]);
    const known = found.get(name)?.to ?? [];
    found.set(name, { node, type, instance, ballot, value, to: [...known, to].sort() });
  }
  return [...found.values()];
}

/** `node type ballot`, the ballot without its nonce. */
export function shown({ node, type, ballot }: Wave): string {
  return `${node} ${type}${ballot === undefined ? "" : ` ${withoutNonce(ballot)}`}`;
}

export function withoutNonce(ballot: string): string {
  return ballot.replace(/\/[^.]*/, "");
}

/** Those from the request of this command to its answer, as a client waits for them. */
export function whileAsked(events: readonly TraceEvent[], id: string): readonly TraceEvent[] {
  const start = events.findIndex((event) => event.kind === "request" && event.id === id);
  const end = events.findIndex((event) => event.kind === "response" && event.id === id);
  return events.slice(start, end + 1);
}

/** Commands of each decided value, by value. */
export function decidedCommands(events: readonly TraceEvent[]): ReadonlyMap<string, readonly string[]> {
  const contents = new Map<string, readonly string[]>();
  for (const event of events) {
    if (event.kind !== "sent" && event.kind !== "handled") continue;
    for (const { value, commands } of [event.message, ...(event.kind === "handled" ? [event.reply] : [])]) {
      if (value !== undefined && commands !== undefined) contents.set(value, commands);
    }
  }
  const decided = new Set(ofKind(events, "decided").map(({ value }) => value));
  return new Map([...decided].map((value) => [value, contents.get(value) ?? []]));
}

/** Path, instance and ballot of each answer that says how it came about, in order. */
export function paths(events: readonly TraceEvent[], outcome?: string): readonly string[] {
  return ofKind(events, "response").filter((event) => outcome === undefined || event.outcome === outcome)
    .flatMap(({ receipt }) =>
      receipt === null ? [] : [`${receipt.path} ${receipt.instance} ${withoutNonce(receipt.ballot)}`]
    );
}

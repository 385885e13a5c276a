/**
 * What clients saw, as JSON lines: one operation a line, of any service. The neutral form between those who record
 * histories and those who judge them.
 */

export type HistoryEvent = {
  /** Who asked; does one thing at a time, but for what it gave up on. */
  readonly process: string;
  readonly key: string;
  readonly op: string;
  readonly input: Readonly<Record<string, unknown>>;
  /** `unknown`: it may take effect at any time after the call, or never. */
  readonly output: Readonly<Record<string, unknown>> | "unknown";
  /** In ms of one clock. */
  readonly callMs: number;
  /** null exactly where the output is unknown. */
  readonly returnMs: number | null;
  readonly fence?: string;
  readonly revision?: string;
  /** Who answered. */
  readonly node?: string;
};

export function encodeHistory(events: readonly HistoryEvent[]): string {
  return events.map((event) => `${JSON.stringify(event)}\n`).join("");
}

/** Throws with the number of the first line that is no event. */
export function decodeHistory(text: string): HistoryEvent[] {
  const events: HistoryEvent[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    const fault = faultIn(line);
    if (typeof fault === "string") throw new Error(`line ${i + 1} is no event: ${fault}`);
    events.push(fault);
  }
  return events;
}

function faultIn(line: string): HistoryEvent | string {
  let event: Record<string, unknown>;
  try {
    event = JSON.parse(line);
  } catch (error) {
    return (error as Error).message;
  }
  if (!isObject(event)) return "it is no object";
  for (const name of ["process", "key", "op"]) if (typeof event[name] !== "string") return `${name} is no text`;
  for (const name of ["fence", "revision", "node"]) {
    if (event[name] !== undefined && typeof event[name] !== "string") return `${name} is no text`;
  }
  const { input, output, callMs, returnMs } = event;
  if (!isObject(input)) return "input is no object";
  if (output !== "unknown" && !isObject(output)) return 'output is no object and not "unknown"';
  if (typeof callMs !== "number") return "callMs is no number";
  if (output === "unknown") return returnMs === null ? event as HistoryEvent : "what is unknown has not returned";
  if (typeof returnMs !== "number" || returnMs < callMs) return "returnMs is no number from callMs on";
  return event as HistoryEvent;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

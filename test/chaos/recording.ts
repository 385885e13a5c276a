/** What a recording node writes down of its records, line by line, and how the lines of all nodes are read again. */
import type { AcceptorRecord, Mode, State, Value } from "../../src/paxos/message.ts";

export type Line =
  /** The record nobody had used. */
  | { readonly type: "start"; readonly key: string; readonly state: State }
  /** A value that got this acceptor's vote: any decided one got a quorum's. */
  | { readonly type: "vote"; readonly key: string; readonly instance: number; readonly value: Value }
  /** `instance` is decided: by this value, and the state after it has this hash. */
  | {
    readonly type: "move";
    readonly key: string;
    readonly instance: number;
    readonly valueId: string;
    readonly hash: string;
    readonly mode: Mode;
  };

type Known = { instance: number; readonly votes: Set<string> };

/** Enough of a file's end to have its last move in it. */
const TAIL_BYTES = 256 * 1024;

export function recordingPath(store: string): string {
  return `${store}.decided`;
}

export class Recording {
  readonly #write: (line: string) => void;
  readonly #known = new Map<string, Known>();

  /** @param write gets whole lines */
  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  /** A record that is committed, and of which nobody was told yet. What was written of it already is not repeated. */
  see(key: string, { instance, state, stateHash, decidedBy, vote }: AcceptorRecord): void {
    const known = this.#known.get(key) ?? { instance: 0, votes: new Set() };
    this.#known.set(key, known);
    if (instance > known.instance) {
      if (instance === 1) this.#line({ type: "start", key, state });
      if (decidedBy !== null && decidedBy.instance === instance - 1) {
        const { valueId } = decidedBy;
        this.#line({ type: "move", key, instance: instance - 1, valueId, hash: stateHash, mode: state.mode });
      }
      known.instance = instance;
      known.votes.clear();
    }
    if (vote !== null && !known.votes.has(vote.value.id)) {
      this.#line({ type: "vote", key, instance, value: vote.value });
      known.votes.add(vote.value.id);
    }
  }

  #line(line: Line): void {
    this.#write(`${JSON.stringify(line)}\n`);
  }
}

/** All lines of these files that are about `key`. */
export async function linesOf(paths: readonly string[], key: string): Promise<Line[]> {
  const lines: Line[] = [];
  for (const path of paths) {
    for (const json of (await Deno.readTextFile(path)).split("\n")) {
      const line = parsed(json);
      if (line?.key === key) lines.push(line);
    }
  }
  return lines;
}

/** Who coordinates the key, as the newest move at the end of any file has it; null: nobody does. */
export async function coordinatorOf(paths: readonly string[], key: string): Promise<string | null> {
  let newest: Extract<Line, { type: "move" }> | null = null;
  for (const path of paths) {
    const lines = (await tail(path)).split("\n").map(parsed);
    const last = lines.findLast((line) => line?.type === "move" && line.key === key);
    if (last?.type === "move" && last.instance > (newest?.instance ?? 0)) newest = last;
  }
  return newest === null || newest.mode.kind === "prepare" ? null : newest.mode.coordinator;
}

async function tail(path: string): Promise<string> {
  using file = await Deno.open(path);
  const { size } = await file.stat();
  await file.seek(Math.max(0, size - TAIL_BYTES), Deno.SeekMode.Start);
  const bytes = await new Response(file.readable).arrayBuffer();
  return new TextDecoder().decode(bytes);
}

/** Null for what is no whole line: the first of a tail, the last of a life that was killed. */
function parsed(json: string): Line | null {
  try {
    return JSON.parse(json) as Line;
  } catch {
    return null;
  }
}

/** A NodeService that answers what a test scripts and notes what reaches it, and an app around it. */
import { createApp } from "../../routes/app.ts";
import type { AppOptions } from "../../routes/app.ts";
import { realClock } from "../../src/compose/world.ts";
import type { Answer, Grant, LockState, NodeStatus, Receipt } from "../../src/api.ts";
import type { WireMessage } from "../../src/ports.ts";
import type { NodeService } from "../../src/service/service.ts";

export type Call = { method: string; args: unknown[] };

export const RECEIPT: Receipt = { path: "open-fast", instance: 7, ballot: "0..0" };
export const GRANT: Grant = {
  name: "deploy/api",
  holder: "h",
  fence: "7169",
  mode: "exclusive",
  ttlMs: 30_000,
  guaranteedForMs: 29_700,
  lapsesInMs: 30_303,
  waitedMs: 0,
  revision: "7168",
};
export const FREE: LockState = {
  name: "deploy/api",
  state: "free",
  holders: [],
  waiters: [],
  waiterCount: 0,
  lastFence: "0",
  revision: "0",
};
export const STATUS: NodeStatus = {
  id: "a",
  cluster: "test",
  members: [{ id: "a", url: "http://127.0.0.1:8701", reachable: true, rttMs: 0, heardAgoMs: null }],
  epoch: 0,
  voting: true,
  seq: 3,
  boot: 1,
  clock: "2026-01-01T00:00:00.000Z",
  store: { slow: false },
  version: "1.2.3",
};

/** By method: what it answers, or a function of its arguments that does (or throws). */
export type Script = Record<string, unknown>;

const DEFAULTS: Script = {
  acquire: answer(GRANT),
  renew: answer(GRANT),
  release: answer({ outcome: "released", fence: "7169", revision: "7170" }),
  force: answer({ outcome: "forced", count: 1, revision: "7171" }),
  get: answer(FREE),
  history: answer({ items: [], revision: "0" }),
  list: { items: [FREE], cursor: null },
  receive: (...args: unknown[]) => (args[2] as WireMessage[]).map(() => ({ type: "noted" })),
  acceptDirect: [],
  isHeld: false,
  status: STATUS,
  readiness: null,
  checks: [{ name: "store", fault: null }, { name: "quorum", fault: null }],
  look: undefined,
};

export function answer<T>(body: T): Answer<T> {
  return { body, receipt: RECEIPT };
}

/** `calls`: everything that reached the node but `status` and what brings that up to date. */
export function scripted(script: Script = {}, options: Partial<AppOptions> = {}, id = "a") {
  const calls: Call[] = [];
  const reports: Error[] = [];
  const play = (method: string) => (...args: unknown[]): unknown => {
    const played = { ...DEFAULTS, ...script }[method];
    if (method !== "status" && method !== "look") calls.push({ method, args });
    return typeof played === "function" ? played(...args) : played;
  };
  const later = (method: string) => {
    const run = play(method);
    // deno-lint-ignore require-await -- a scripted throw has to be a rejection
    return async (...args: unknown[]) => run(...args);
  };
  const node = {
    id,
    locks: {
      acquire: later("acquire"),
      renew: later("renew"),
      release: later("release"),
      force: later("force"),
      get: later("get"),
      history: later("history"),
      list: later("list"),
    },
    sessions: { owns: later("owns") },
    watches: { poll: later("poll") },
    receive: later("receive"),
    acceptDirect: later("acceptDirect"),
    isHeld: later("isHeld"),
    status: play("status"),
    readiness: later("readiness"),
    checks: later("checks"),
    look: later("look"),
    raise: later("raise"),
  } as unknown as NodeService;
  let ids = 0;
  let clock = 0;
  const app = createApp(node, {
    tokens: null,
    rate: null,
    peers: null,
    newId: () => `id-${++ids}`,
    now: () => clock++,
    after: realClock.after,
    report: (error) => reports.push(error),
    ...options,
  });
  return { app, calls, reports };
}

export type Scripted = ReturnType<typeof scripted>;
// deno-lint-ignore no-explicit-any -- tests look into documents of many shapes
export type Json = any;

/** Runs the app on a real socket of this machine. */
export async function serving(
  { app }: Pick<Scripted, "app">,
  run: (port: number) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, signal: stop.signal, onListen: () => {} },
    (request) => app.fetch(request),
  );
  try {
    await run(server.addr.port);
  } finally {
    stop.abort();
    await server.finished;
  }
}

/** Bytes as they are over TCP, and the answer read until its end; for what fetch cannot or will not send. */
export async function raw(port: number, ...parts: (string | Uint8Array)[]): Promise<{
  status: number;
  headers: Headers;
  body: Json;
}> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  try {
    for (const part of parts) {
      const bytes = typeof part === "string" ? new TextEncoder().encode(part) : part;
      for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
    }
    return await readAnswer(connection);
  } finally {
    connection.close();
  }
}

async function readAnswer(connection: Deno.Conn) {
  let text = "";
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(65_536);
  for (;;) {
    const end = text.indexOf("\r\n\r\n");
    if (end >= 0) {
      const [line = "", ...lines] = text.slice(0, end).split("\r\n");
      const headers = new Headers(lines.map((header) => {
        const colon = header.indexOf(":");
        return [header.slice(0, colon), header.slice(colon + 1).trim()];
      }));
      const body = text.slice(end + 4);
      if (new TextEncoder().encode(body).length >= Number(headers.get("content-length") ?? "0")) {
        return { status: Number(line.split(" ")[1]), headers, body: body === "" ? null : JSON.parse(body) };
      }
    }
    const size = await connection.read(buffer);
    if (size === null) throw new Error(`the connection ended after ${JSON.stringify(text)}`);
    text += decoder.decode(buffer.subarray(0, size), { stream: true });
  }
}

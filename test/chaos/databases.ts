/** One remote database for each acceptor whose processes share it: in a real denokv where there is one, or a stand-in. */
import { ACCESS_TOKEN, DENOKV_CHECKS_MAX, findDenokv, startDenokv } from "../kv_connect/denokv.ts";
import { type KvConnect, startKvConnect } from "../kv_connect/server.ts";
import { openWith } from "../kv_connect/suite.ts";

export type Databases = {
  /** For people: what serves them. */
  readonly server: string;
  /** One for all of them and all tests: where Deno looks for it is the process's, and test files run beside each other. */
  readonly accessToken: string;
  /** The processes that serve them; none for the stand-in, which is in this one. */
  readonly pids: readonly number[];
  /** What `--kv` takes. */
  url(id: string): string;
  /** Null if they are real ones: those do not fail on demand. */
  readonly standIn: KvConnect | null;
  stop(): Promise<void>;
};

export async function startDatabases(ids: readonly string[], denokv: string | null): Promise<Databases> {
  return denokv === null ? startStandIn() : await startReal(ids, denokv);
}

/** What `startDatabases` would use here; null: the stand-in. */
export async function denokvHere(): Promise<{ readonly denokv: string | null; readonly line: string }> {
  const denokv = await findDenokv();
  const line = denokv === null
    ? "the stand-in of test/kv_connect: no denokv on PATH or by QUORATE_DENOKV"
    : `a real denokv for each acceptor (${denokv})`;
  return { denokv, line };
}

/** Which versions of which rows a database holds: another text after any commit. */
export async function versionsIn(databases: Databases, id: string): Promise<string> {
  using kv = await openWith(databases.url(id), databases.accessToken);
  const rows = await Array.fromAsync(kv.list({ prefix: [] }));
  return rows.map(({ key, versionstamp }) => `${key.join("/")} ${versionstamp}`).join("\n");
}

function startStandIn(): Databases {
  const server = startKvConnect({ accessToken: ACCESS_TOKEN, checksMax: DENOKV_CHECKS_MAX });
  return {
    server: "stand-in",
    accessToken: ACCESS_TOKEN,
    pids: [],
    url: (id) => server.url(id),
    standIn: server,
    stop: () => server.stop(),
  };
}

async function startReal(ids: readonly string[], denokv: string): Promise<Databases> {
  const started = await Promise.all(ids.map((id) => startDenokv(denokv).then((database) => [id, database] as const)));
  const databases = new Map(started);
  return {
    server: "denokv",
    accessToken: ACCESS_TOKEN,
    pids: started.map(([, { pid }]) => pid),
    url: (id) => databases.get(id)!.url,
    standIn: null,
    stop: async () => {
      await Promise.all(started.map(([, database]) => database[Symbol.asyncDispose]()));
    },
  };
}

/** This project's own nodes, as `deno task node` runs them. */
import { VERSION } from "../../src/version.ts";
import { RealCluster } from "../chaos/real_cluster.ts";
import type { Connection } from "./connection.ts";
import { type Driver, expectOk, type Running, type System } from "./system.ts";

const TTL_MS = 60_000;
const WAIT_MS = 60_000;

export class QuorateDriver implements Driver {
  prepare(): Promise<void> {
    return Promise.resolve();
  }

  acquire(connection: Connection, name: string): Promise<string> {
    return take(connection, `/v1/locks/${name}`, { holder: "bench", ttlMs: TTL_MS }, "fence");
  }

  wait(connection: Connection, name: string): Promise<string> {
    return take(connection, `/v1/locks/${name}`, { holder: "bench", ttlMs: TTL_MS, waitMs: WAIT_MS }, "fence");
  }

  async release(connection: Connection, name: string, fence: string): Promise<void> {
    expectOk(await connection.request("DELETE", `/v1/locks/${name}/${fence}`));
  }

  async put(connection: Connection, key: string, value: string): Promise<void> {
    expectOk(await connection.request("PUT", `/v1/kv/${key}`, value, "text/plain"));
  }

  async get(connection: Connection, key: string): Promise<void> {
    expectOk(await connection.request("GET", `/v1/kv/${key}`));
  }

  campaign(connection: Connection, name: string): Promise<string> {
    const body = { candidate: "bench", ttlMs: TTL_MS, waitMs: WAIT_MS };
    return take(connection, `/v1/elections/${name}`, body, "term");
  }

  async resign(connection: Connection, name: string, term: string): Promise<void> {
    expectOk(await connection.request("DELETE", `/v1/elections/${name}/${term}`));
  }
}

async function take(connection: Connection, path: string, body: object, field: string): Promise<string> {
  return JSON.parse(expectOk(await connection.request("POST", path, JSON.stringify(body))))[field];
}

export const QUORATE: System = {
  name: "Quorate",
  version: () => Promise.resolve(`${VERSION}, Deno ${Deno.version.deno}`),
  async start(n) {
    return runningOf(await RealCluster.start(n, 0, { isolates: 1 }));
  },
};

/** What clients of the members see, whichever processes serve them. */
export function runningOf(cluster: RealCluster): Running {
  return {
    urls: cluster.ids.map((id) => cluster.url(id)),
    pids: cluster.ids.flatMap((id) => cluster.pids(id)),
    driver: () => new QuorateDriver(),
    stop: () => cluster.stop(),
  };
}

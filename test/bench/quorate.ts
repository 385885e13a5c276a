/** This project's own nodes, as `deno task node` runs them. */
import { VERSION } from "../../src/version.ts";
import { RealCluster } from "../chaos/real_cluster.ts";
import { Connection } from "./connection.ts";
import { type Driver, expectOk, type Running, type System } from "./system.ts";

const TTL_MS = 60_000;
const WAIT_MS = 60_000;

export class QuorateDriver implements Driver {
  /** For what is no part of a driver. */
  readonly connection: Connection;

  private constructor(connection: Connection) {
    this.connection = connection;
  }

  static async connect(url: string): Promise<QuorateDriver> {
    return new QuorateDriver(await Connection.open(url));
  }

  acquire(name: string): Promise<string> {
    return take(this.connection, `/v1/locks/${name}`, { holder: "bench", ttlMs: TTL_MS }, "fence");
  }

  wait(name: string, renews = false): Promise<string> {
    const body = { holder: "bench", ttlMs: TTL_MS, waitMs: WAIT_MS, ...(renews ? { renews } : {}) };
    return take(this.connection, `/v1/locks/${name}`, body, "fence");
  }

  async release(name: string, fence: string): Promise<void> {
    expectOk(await this.connection.request("DELETE", `/v1/locks/${name}/${fence}`));
  }

  async put(key: string, value: string): Promise<void> {
    expectOk(await this.connection.request("PUT", `/v1/kv/${key}`, value, "text/plain"));
  }

  async get(key: string): Promise<void> {
    expectOk(await this.connection.request("GET", `/v1/kv/${key}`));
  }

  campaign(name: string): Promise<string> {
    const body = { candidate: "bench", ttlMs: TTL_MS, waitMs: WAIT_MS };
    return take(this.connection, `/v1/elections/${name}`, body, "term");
  }

  async resign(name: string, term: string): Promise<void> {
    expectOk(await this.connection.request("DELETE", `/v1/elections/${name}/${term}`));
  }

  close(): void {
    this.connection.close();
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
    connect: (url) => QuorateDriver.connect(url),
    stop: () => cluster.stop(),
  };
}

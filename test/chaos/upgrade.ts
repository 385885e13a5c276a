/** A cluster whose nodes are exchanged for those of another version, one by one, under load. */
import { assert, assertEquals } from "@std/assert";
import { call, pause, RealCluster, type Reply } from "./real_cluster.ts";
import { UpgradeLoad } from "./upgrade_load.ts";

/** Before and after each exchange. */
export const LOADED_MS = 500;
const LOOKS_MAX = 2_400;
/** Nodes of this checkout. */
export const TODAY = ["src/cli/main.ts", "node"];

export type Status = {
  readonly members: readonly { readonly id: string; readonly version?: string; readonly wire?: number }[];
  readonly voting: boolean;
  readonly reason?: string;
  readonly version: string;
  readonly machine?: { readonly version: number; readonly knows: number };
};

export class Upgrade {
  readonly cluster: RealCluster;
  readonly #load: UpgradeLoad;

  private constructor(cluster: RealCluster) {
    this.cluster = cluster;
    this.#load = new UpgradeLoad(new Map(cluster.ids.map((id) => [id, cluster.url(id)])));
  }

  /** Three nodes of this version, under load from now on. */
  static async start(main: readonly string[], later: AsyncDisposableStack): Promise<Upgrade> {
    const cluster = await RealCluster.start(3, 0, { isolates: 1, main });
    later.defer(() => cluster.stop());
    return new Upgrade(cluster);
  }

  async exchange(ids: readonly string[], main: readonly string[]): Promise<void> {
    for (const id of ids) {
      await pause(LOADED_MS);
      assertEquals(await this.cluster.end(id), [0], id);
      await this.cluster.startNode(id, [], { main });
    }
    await pause(LOADED_MS);
  }

  /** What a node says of itself and the others, once it is so. */
  async said(id: string, isSo: (status: Status) => boolean): Promise<Status> {
    let status: Status | undefined;
    for (let i = 0; i < LOOKS_MAX; i++) {
      status = (await call(this.cluster.url(id), "GET", "/v1/status"))?.body as Status | undefined;
      if (status !== undefined && isSo(status)) return status;
      await pause(50);
    }
    throw new Error(`${id} says ${JSON.stringify(status)}`);
  }

  /** Asks a node to raise the machine, again while somebody besides `behind` was not heard. */
  async raise(id: string, behind: readonly string[] = []): Promise<unknown[]> {
    let reply: Reply | null = null;
    for (let i = 0; i < LOOKS_MAX; i++) {
      reply = await call(this.cluster.url(id), "POST", "/v1/raise");
      const isHeard = reply?.status === 409 && (reply.body["behind"] as unknown[]).length <= behind.length;
      if (reply?.status === 200 || (isHeard && behind.length > 0)) break;
      await pause(50);
    }
    const { code, machine, behind: named, before } = reply?.body ?? {};
    return [reply?.status, code ?? machine, named ?? before];
  }

  async judge(): Promise<void> {
    const { faults, acknowledged } = await this.#load.judge();
    assertEquals(faults, []);
    // It was under load all the while.
    for (const [what, count] of Object.entries(acknowledged)) assert(count >= 10, `${what}: ${count}`);
  }
}

/** By id: release and wire, as one node says. */
export function speaking({ members }: Status): Record<string, readonly [string | undefined, number | undefined]> {
  return Object.fromEntries(members.map(({ id, version, wire }) => [id, [version, wire]]));
}

export function knowsAll({ members }: Status): boolean {
  return members.every(({ wire }) => wire !== undefined);
}

/** The folder, and what is begun in it, is gone at the end. */
export async function inFolder(run: (folder: string, later: AsyncDisposableStack) => Promise<void>): Promise<void> {
  await using later = new AsyncDisposableStack();
  const folder = await Deno.makeTempDir({ prefix: "quorate-upgrade-" });
  later.defer(() => Deno.remove(folder, { recursive: true }));
  await run(folder, later);
}

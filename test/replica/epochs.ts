/** Rows of epochs as tests hand them to the nodes of a memory cluster. */
import type { EpochConfig, EpochsRow } from "../../src/ports.ts";
import { until } from "./clocks.ts";
import type { MemoryCluster } from "./memory_cluster.ts";

export function configOf(epoch: number, members: string): EpochConfig {
  return {
    cluster: "test",
    epoch,
    members: [...members].map((id) => ({ id, url: `http://${id}.example` })),
    modes: [],
  };
}

/** From the first epoch, of these members, into the second. */
export function firstChange(before: string, current: string): EpochsRow {
  return { before: configOf(0, before), beforeFirst: 1, current: configOf(1, current), first: null };
}

/** From what `row` led into, where keys without a record begin at `beforeFirst`, into the epoch after it. */
export function changeAfter(row: EpochsRow, beforeFirst: number, members: string): EpochsRow {
  const current = configOf(row.current.epoch + 1, members);
  return { before: row.current, beforeFirst, current, first: null };
}

/** Keys that these members list, each from its own store after its seal. */
export async function listed(cluster: MemoryCluster, ids: string): Promise<readonly string[]> {
  const lists = await Promise.all([...ids].map((id) => cluster.store(id).keys("", "", 10_000)));
  return [...new Set(lists.flat())].sort();
}

/** Imports all keys that are listed, by these members in turn; then all of `told` hear that the epoch before is retired. */
export async function retire(
  cluster: MemoryCluster,
  row: EpochsRow,
  sealed: string,
  by: string,
  told: string,
): Promise<EpochsRow> {
  for (const [i, key] of (await listed(cluster, sealed)).entries()) {
    const node = () => cluster.node(by[i % by.length]!);
    await until(`${key} is brought`, async () => await node().bringing(row.current.epoch)?.bring(key) === true);
  }
  const retired = { ...row, first: row.beforeFirst };
  for (const id of told) await cluster.adopt(id, retired);
  return retired;
}

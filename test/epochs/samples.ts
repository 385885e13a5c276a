/** Epochs for tests. */
import type { EpochConfig, EpochsRow } from "../../src/ports.ts";
import { MACHINE_OF_ALL, OWN_VERSION } from "../../src/version.ts";

/** What a node of this version says of its software, in a cluster that nobody raised. */
export const KNOWS = { version: OWN_VERSION, raised: MACHINE_OF_ALL };

export function epochOf(epoch: number, ids: string, more: Partial<EpochConfig> = {}): EpochConfig {
  const members = [...ids].map((id) => ({ id, url: `http://127.0.0.1:${8_000 + id.charCodeAt(0)}` }));
  return { cluster: "q-0123456789ab", epoch, members, modes: [], ...more };
}

export function rowOf(before: EpochConfig, current: EpochConfig, first: number | null = null): EpochsRow {
  return { before, beforeFirst: 1, current, first };
}

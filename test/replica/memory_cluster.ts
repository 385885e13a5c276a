/** The cluster in memory of `src/testing`, and what tests ask of its services. */
import type { Caller } from "../../src/service/service.ts";

export { memoryCluster } from "../../src/testing/memory_cluster.ts";
export type { MemoryCluster, MemoryClusterOptions, Shared } from "../../src/testing/memory_cluster.ts";

let calls = 0;

export function caller(more: Partial<Caller> = {}): Caller {
  return { subject: "tester", idempotencyKey: `call-${++calls}`, timeoutMs: 30_000, ...more };
}

export function request(holder: string, more: Record<string, unknown> = {}) {
  return { holder, ttlMs: 30_000, waitMs: 0, mode: "exclusive" as const, lockDelayMs: 0, ...more };
}

/** Which workload is whose: each has clients and invariants of its own, beside the clients of locks. */
import type { Noun } from "./plan.ts";
import type { Workload, WorkloadParts } from "./workload.ts";
import { ElectionWorkload } from "./workload_elections.ts";
import { HotWorkload } from "./workload_hot.ts";
import { RegisterWorkload } from "./workload_registers.ts";
import { RenewingWorkload } from "./workload_renewing.ts";
import { SemaphoreWorkload } from "./workload_semaphores.ts";
import { SessionWorkload } from "./workload_sessions.ts";
import { SetWorkload } from "./workload_sets.ts";
import { WaitWorkload } from "./workload_waits.ts";
import { WatchWorkload } from "./workload_watching.ts";

const WORKLOADS: Readonly<Record<Noun, (parts: WorkloadParts) => Workload>> = {
  registers: (parts) => new RegisterWorkload(parts),
  semaphores: (parts) => new SemaphoreWorkload(parts),
  elections: (parts) => new ElectionWorkload(parts),
  watching: (parts) => new WatchWorkload(parts),
  sessions: (parts) => new SessionWorkload(parts),
  hot: (parts) => new HotWorkload(parts),
  sets: (parts) => new SetWorkload(parts),
  waits: (parts) => new WaitWorkload(parts),
  renewing: (parts) => new RenewingWorkload(parts),
};

export function workloadOf(noun: Noun, parts: WorkloadParts): Workload {
  return WORKLOADS[noun](parts);
}

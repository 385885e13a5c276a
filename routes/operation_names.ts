/** What generators of clients call each operation, and which section of the document it stands in. */

export type OperationName = { readonly operationId: string; readonly tags: readonly [string] };

/** In the order in which people read them: what they come for first, what operators need last. */
export const SECTIONS: readonly { readonly name: string; readonly description: string }[] = [
  { name: "Locks", description: "Taken with a fence, renewed, released; exclusive or shared; with a fair queue." },
  {
    name: "Elections",
    description: "One leader of a name at a time, who says something of itself. Its term is a fence.",
  },
  { name: "Semaphores", description: "Some of a limited number of permits." },
  { name: "Registers", description: "Small values with compare-and-set, fences and ephemeral keys." },
  { name: "Sessions", description: "One sign of life for many locks, terms, permits and keys." },
  { name: "Batch", description: "Several independent operations in one request." },
  { name: "Node", description: "What a node says of itself and of this API." },
];

/** By method and path. */
const NAMES: Readonly<Record<string, string>> = {
  "post /v1/locks/{name}": "acquireLock",
  "post /v1/locks": "acquireLocks",
  "put /v1/locks/{name}/{fence}": "renewLock",
  "delete /v1/locks/{name}/{fence}": "releaseLock",
  "delete /v1/locks/{name}/queue/{key}": "leaveLockQueue",
  "delete /v1/locks/{name}": "forceLock",
  "get /v1/locks/{name}": "getLock",
  "get /v1/locks": "listLocks",
  "get /v1/locks/{name}/events": "watchLock",
  "get /v1/locks/events": "watchLocks",
  "get /v1/locks/{name}/history": "getLockHistory",
  "post /v1/elections/{name}": "campaign",
  "put /v1/elections/{name}/{term}": "proclaim",
  "delete /v1/elections/{name}/{term}": "resign",
  "delete /v1/elections/{name}/queue/{key}": "leaveElectionQueue",
  "delete /v1/elections/{name}": "forceElection",
  "get /v1/elections/{name}": "getElection",
  "get /v1/elections": "listElections",
  "get /v1/elections/{name}/events": "watchElection",
  "get /v1/elections/events": "watchElections",
  "get /v1/elections/{name}/history": "getElectionHistory",
  "post /v1/semaphores/{name}": "takePermits",
  "put /v1/semaphores/{name}/{fence}": "renewPermits",
  "delete /v1/semaphores/{name}/{fence}": "givePermitsBack",
  "delete /v1/semaphores/{name}/queue/{key}": "leaveSemaphoreQueue",
  "delete /v1/semaphores/{name}": "forceSemaphore",
  "get /v1/semaphores/{name}": "getSemaphore",
  "get /v1/semaphores": "listSemaphores",
  "get /v1/semaphores/{name}/events": "watchSemaphore",
  "get /v1/semaphores/events": "watchSemaphores",
  "get /v1/semaphores/{name}/history": "getSemaphoreHistory",
  "get /v1/kv/{key}": "getValue",
  "put /v1/kv/{key}": "putValue",
  "delete /v1/kv/{key}": "deleteValue",
  "get /v1/kv": "listValues",
  "get /v1/kv/{key}/events": "watchValue",
  "get /v1/kv/events": "watchValues",
  "post /v1/sessions": "openSession",
  "put /v1/sessions/{id}": "keepSession",
  "delete /v1/sessions/{id}": "endSession",
  "get /v1/sessions/{id}": "getSession",
  "get /v1/sessions": "listSessions",
  "get /v1/sessions/{id}/events": "watchSession",
  "get /v1/sessions/events": "watchSessions",
  "post /v1/batch": "batch",
  "get /v1/backup": "getBackupPage",
  "post /v1/raise": "raiseMachine",
  "get /v1/members": "getMembers",
  "post /v1/members": "changeMembers",
  "get /v1/repair": "getRepairPlan",
  "post /v1/repair": "repair",
  "get /v1/status": "getStatus",
  "get /v1/access": "getAccess",
  "get /v1/trace/{name}": "getTrace",
  "post /v1/init": "initialize",
  "get /livez": "getLiveness",
  "get /healthz": "getHealth",
  "get /readyz": "getReadiness",
  "get /metrics": "getMetrics",
  "get /openapi.json": "getDocument",
  "get /docs": "getDocumentPage",
};

const SECTION_OF: readonly (readonly [start: string, section: string])[] = [
  ["/v1/locks", "Locks"],
  ["/v1/elections", "Elections"],
  ["/v1/semaphores", "Semaphores"],
  ["/v1/kv", "Registers"],
  ["/v1/sessions", "Sessions"],
  ["/v1/batch", "Batch"],
];

/** Undefined of an operation that has no name here: a test finds it in the document. */
export function nameOf(method: string, path: string): OperationName | undefined {
  const operationId = NAMES[`${method} ${path}`];
  if (operationId === undefined) return undefined;
  return { operationId, tags: [SECTION_OF.find(([start]) => path.startsWith(start))?.[1] ?? "Node"] };
}

const ORDER = Object.keys(NAMES);

/** Where an operation stands in the document: the least first. */
export function rankOf(method: string, path: string): number {
  const at = ORDER.indexOf(`${method} ${path}`);
  return at < 0 ? ORDER.length : at;
}

/**
 * The client of Quorate: locks, elections, semaphores, registers and sessions over plain HTTP. It uses standard APIs of the
 * web and nothing else, so it runs in Deno, Node from 20 on, Bun and a page of the nodes' own origin.
 *
 * ```ts ignore
 * import { connect } from "@quorate/quorate";
 *
 * const quorate = connect("http://127.0.0.1:8701");
 * await using lock = await quorate.locks.acquire("deploy", { ttl: 30_000, wait: 60_000 });
 * ```
 *
 * @module
 */
export { connect } from "./client/connect.ts";
export type { ConnectOptions, Quorate } from "./client/connect.ts";
export { QuorateError } from "./client/error.ts";
export type { LostHow, QuorateCode, QuorateErrorFacts } from "./client/error.ts";
export type { ErrorCode } from "./errors.ts";
export type { Kept } from "./client/kept.ts";
export type { TakeOptions } from "./client/take.ts";
export type { Held } from "./client/held.ts";
export type { Lock, LockInfo, LockOptions, LockRequestOptions, Locks, LockSnapshot } from "./client/locks.ts";
export type { CampaignOptions, Elections, Leader, Term } from "./client/elections.ts";
export type { Permits, SemaphoreOptions, Semaphores } from "./client/semaphores.ts";
export type { Kv, KvConditions, KvInput, KvPutOptions, KvWatcher } from "./client/kv.ts";
export type { KvChange, KvEntry } from "./client/kv_entry.ts";
export type { Session, SessionOptions, Sessions } from "./client/sessions.ts";
export type { RegisterOptions, Registration } from "./client/registration.ts";

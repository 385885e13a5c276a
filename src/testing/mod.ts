/**
 * A cluster in memory, for unit tests of code that uses the client: the shipped nodes, in a time that passes when the test says
 * so, where leases are lost, networks are cut and processes are stalled on demand. Time stands still between the calls of the
 * test: what needs some, as a retry or a place in a queue, goes on in `advance` and `run`.
 *
 * It runs in Deno, in Bun and in Node from 25 on; in the last two with `hono`, `@hono/zod-openapi` and `zod` installed.
 *
 * @module
 */
export { testCluster } from "./test_cluster.ts";
export type { TestCluster, TestClusterOptions, TestConnectOptions, TestNoun, TestSide } from "./test_cluster.ts";

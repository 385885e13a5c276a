/** A gateway of this process, with its own clock, randomness and fetch. */
import type { GatewayConfig } from "../config/gateway_config.ts";
import { createGateway } from "../gateway/gateway.ts";
import { GatewayMetrics } from "../observe/gateway_metrics.ts";
import type { Report } from "../ports.ts";
import { VERSION } from "../version.ts";
import type { Outward } from "./outward.ts";
import { spansHere } from "./spans_here.ts";
import { realClock, realRandomness } from "./world.ts";

/**
 * @param nodes origins
 * @param learnMembers whether nodes that become members are asked too
 * @param origins whose pages are let in though nodes are on loopback
 * @param closing aborts when the process is told to stop
 */
export function gatewayBefore(
  { nodes, learnMembers }: Pick<GatewayConfig, "nodes" | "learnMembers">,
  origins: readonly string[],
  { fetch }: Pick<Outward, "fetch">,
  closing: AbortSignal,
  report: Report,
): (request: Request) => Promise<Response> {
  return createGateway({
    origins,
    closing,
    nodes,
    learnMembers,
    fetch,
    meter: new GatewayMetrics({ version: VERSION, deno: Deno.version.deno }),
    spans: spansHere("gateway", Deno.env.toObject(), report),
    clock: realClock,
    newId: () => realRandomness.id(),
    report: (error, { requestId, method, path }) =>
      report(`${method} ${path} failed (request ${requestId}): ${error.stack ?? error.message}`, {
        event: "request-failed",
        level: "error",
        names: [path],
        facts: { requestId, method },
      }),
  });
}

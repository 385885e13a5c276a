/** `deno task gateway`: hands requests to the nearest node; nothing to open and nothing to lose. */
import { createGateway } from "../client/gateway.ts";
import { type GatewayConfig, parseGatewayConfig } from "../gateway_config.ts";
import { reportFailure } from "./report.ts";
import { listen } from "./serve.ts";
import { stopSignal } from "./stop_signal.ts";
import { realClock, realRandomness } from "./world.ts";

/** Runs a gateway until it is told to stop; the exit code. */
export async function runGateway(args: readonly string[]): Promise<number> {
  try {
    return await serveGateway(await parseGatewayConfig(args, Deno.env.toObject(), (path) => Deno.readTextFile(path)));
  } catch (error) {
    return reportFailure("gateway", error);
  }
}

async function serveGateway(config: GatewayConfig): Promise<number> {
  const told = stopSignal();
  const listener = listen(config);
  listener.open(createGateway({
    nodes: config.nodes,
    fetch: (url, init) => fetch(url, init),
    clock: realClock,
    newId: () => realRandomness.id(),
    report: (error, { requestId, method, path }) =>
      console.error(`gateway: ${method} ${path} failed (request ${requestId}): ${error.stack ?? error.message}`),
  }));
  console.log(`gateway ready to serve on ${listener.url}, before ${config.nodes.join(", ")}`);
  await told;
  await listener.stop();
  return 0;
}

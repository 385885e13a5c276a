/** `deno task gateway`: hands requests to the nearest node; nothing to open and nothing to lose. */
import { type GatewayConfig, parseGatewayConfig } from "../config/gateway_config.ts";
import { gatewayBefore } from "../compose/gateway_before.ts";
import { Outward } from "../compose/outward.ts";
import { consoleLog } from "../compose/world.ts";
import { Hangups } from "./hangup.ts";
import { reportFailure } from "./report.ts";
import { listen } from "./serve.ts";
import { stopSignal } from "./stop_signal.ts";

/** Runs a gateway until it is told to stop; the exit code. */
export async function runGateway(args: readonly string[]): Promise<number> {
  const hangups = new Hangups();
  try {
    return await serveGateway(
      () => parseGatewayConfig(args, Deno.env.toObject(), (path) => Deno.readTextFile(path)),
      hangups,
    );
  } catch (error) {
    return reportFailure("gateway", error);
  }
}

async function serveGateway(read: () => Promise<GatewayConfig>, hangups: Hangups): Promise<number> {
  const config = await read();
  const told = stopSignal();
  const outward = new Outward(config.ca);
  const listener = listen(config);
  const closing = new AbortController();
  const log = consoleLog(config.log, "gateway", { gateway: listener.url });
  listener.open(gatewayBefore(config, config.cors, outward, closing.signal, log.report));
  hangups.follow(async () => {
    const { tls, ca } = await read();
    const trustNext = outward.prepare(ca);
    if (tls !== null) await listener.renew(tls);
    trustNext();
  }, log.report);
  log.say(`ready to serve on ${listener.url}, before ${config.nodes.join(", ")}`, { event: "ready" });
  await told;
  closing.abort();
  await listener.stop();
  return 0;
}

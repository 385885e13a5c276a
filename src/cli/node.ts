/** `deno task node`: one node, from its flags to its last commit. */
import { compose } from "../compose/composed.ts";
import { clusterConfigOf } from "../config/cluster_config.ts";
import { type Credentials, type NodeConfig, parseConfig } from "../config/config.ts";
import type { Report } from "../ports.ts";
import { Hangups } from "./hangup.ts";
import { tellReadiness } from "./readiness.ts";
import { reportFailure } from "./report.ts";
import { listen } from "./serve.ts";
import { shellWord } from "./shell_word.ts";
import { stopSignal } from "./stop_signal.ts";
import { consoleLog, realClock } from "../compose/world.ts";

/** Service managers and `deno task start` kill after 5 s; the node should go by itself before. */
const STOP_WITHIN_MS = 4_500;

/** Runs a node until it is told to stop; the exit code. */
export async function runNode(args: readonly string[]): Promise<number> {
  const hangups = new Hangups();
  const read = () => parseConfig(args, Deno.env.toObject(), (path) => Deno.readTextFile(path));
  try {
    return await serveNode(await read(), args, (renew, tell) => {
      hangups.follow(async () => await renew(await read()), tell);
    });
  } catch (error) {
    return reportFailure("node", error);
  }
}

/** @param onHangup hands what is read again to `renew`, and what came of it to `tell` */
async function serveNode(
  config: NodeConfig,
  args: readonly string[],
  onHangup: (renew: (next: Credentials) => Promise<void>, tell: Report) => void,
): Promise<number> {
  const told = stopSignal();
  const { id, kv } = config;
  const log = consoleLog(config.log, `node ${id}`, { node: id });
  told.then(() => exitSoon(log.report));
  // The port before the store: a node that cannot serve should not have become a member.
  const listener = listen(config);
  const node = await compose(config, log.report);
  listener.open((request) => node.handler(request));
  onHangup(async (next) => {
    const apply = node.prepare(next);
    if (next.tls !== null) await listener.renew(next.tls);
    apply();
  }, log.report);

  const { cluster, members } = clusterConfigOf(config);
  if (config.init) {
    const role = config.learner ? "learner" : "member";
    const line = `initialised: ${kv} is now a ${role} of cluster ${cluster} (${members.join(", ")})`;
    log.say(line, { event: "initialised", facts: { cluster, role } });
  }
  log.say(`listening on ${listener.url}`, { event: "listening", facts: { url: listener.url } });
  let check = "";
  const stopTelling = tellReadiness({
    readiness: async () => {
      const failing = await node.failing();
      check = failing?.name ?? "";
      return failing?.fault ?? null;
    },
    onReady: (isAgain) =>
      log.say(`ready${isAgain ? " again" : ""} to serve on ${listener.url}`, { event: "ready", facts: { isAgain } }),
    // More is said below of a store that belongs to nobody.
    onUnready: (reason) =>
      node.initialised &&
      log.report(`not ready: ${reason}`, { event: "not-ready", level: "error", facts: { check, reason } }),
    clock: realClock,
  });
  if (node.joins !== null) {
    const line =
      `waits to be made a member of cluster ${node.joins}: quorate member add or replace, with this id and URL`;
    log.say(line, { event: "joining", facts: { cluster: node.joins } });
  } else if (!node.initialised) {
    const again = ["--init", ...args].map(shellWord).join(" ");
    log.report(
      `${kv} is not initialised, so this node does not ${config.learner ? "learn" : "vote"}; ` +
        `if it never was a ${config.learner ? "learner" : "member"}, stop it and run once: deno task node ${again}`,
      { event: "uninitialised", level: "error" },
    );
  }

  await told;
  stopTelling();
  node.drain();
  await listener.stop();
  await node.close();
  return 0;
}

/** However long closing takes. What was acknowledged is on disk already. */
function exitSoon(report: Report): void {
  const timer = setTimeout(() => {
    const line = `could not close its store within ${STOP_WITHIN_MS} ms; ended without`;
    report(line, { event: "ended-late", level: "error" });
    Deno.exit(1);
  }, STOP_WITHIN_MS);
  Deno.unrefTimer(timer);
}

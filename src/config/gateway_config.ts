/** Settings of a gateway from flags and environment; flags win. What is wrong is told in one line that names its setting. */
import { corsOf, hostOf, isLoopbackHost, logOf, type NodeConfig, originOf, portOf } from "./config.ts";
import { type Env, fromEnv, parseFlags, readerOf, refuse, type Setting, switchOf } from "./settings.ts";
import { caOf, tlsOf } from "./tls.ts";
import { isLoopback } from "../http/request_head.ts";
import { LEARNERS_MAX, MEMBERS_MAX } from "../limits.ts";

export const GATEWAY_PORT_DEFAULT = 8700;

export type GatewayConfig = Pick<NodeConfig, "host" | "port" | "tls" | "ca" | "cors" | "log"> & {
  /** Origins, at least one. */
  readonly nodes: readonly string[];
  /** Whether nodes that become members are asked too. */
  readonly learnMembers: boolean;
};

const GATEWAY_FLAGS = {
  nodes: "value",
  "fixed-nodes": "switch",
  host: "value",
  port: "value",
  log: "value",
  "log-level": "value",
  "tls-cert": "value",
  "tls-key": "value",
  "tls-ca": "value",
  "behind-proxy": "switch",
} as const;

/** The settings of `deno task gateway`. Rejects with QuorateError `invalid-request`; its `field` is the flag or variable. */
export async function parseGatewayConfig(
  args: readonly string[],
  env: Env,
  readTextFile: (path: string) => Promise<string>,
): Promise<GatewayConfig> {
  const flags = parseFlags(args, GATEWAY_FLAGS);
  const flag = (name: "nodes" | "host" | "port" | "log" | "log-level" | "tls-ca"): Setting | null => {
    const text = flags[name];
    return text === undefined ? null : { name: `--${name}`, text };
  };
  const listed = flag("nodes") ?? fromEnv(env, "QUORATE_URL") ??
    refuse("--nodes", "or QUORATE_URL is needed: URLs of nodes, comma between");
  const nodes = nodesOf(listed);
  const host = hostOf(flag("host"));
  const port = flag("port");
  const read = readerOf(readTextFile);
  const tls = await tlsOf(flags["tls-cert"], flags["tls-key"], read);
  const ca = await caOf(flag("tls-ca") ?? fromEnv(env, "QUORATE_TLS_CA"), read);
  refuseStrangers(listed, nodes, { host, tls, behindProxy: flags["behind-proxy"] !== undefined });
  const cors = corsOf(fromEnv(env, "QUORATE_CORS"), { hasOwner: !nodes.some(isLocal) });
  const log = logOf(
    flag("log") ?? fromEnv(env, "QUORATE_LOG"),
    flag("log-level") ?? fromEnv(env, "QUORATE_LOG_LEVEL"),
  );
  const learnMembers = flags["fixed-nodes"] === undefined && learnsIn(env);
  return { nodes, learnMembers, host, cors, log, port: port === null ? GATEWAY_PORT_DEFAULT : portOf(port), tls, ca };
}

/** Whether `QUORATE_FIXED_NODES` lets a gateway learn of nodes. Throws QuorateError `invalid-request`. */
export function learnsIn(env: Env): boolean {
  return !switchOf(fromEnv(env, "QUORATE_FIXED_NODES"));
}

/** `URL,URL,…` of nodes, as origins. Throws QuorateError `invalid-request`. */
export function nodesOf({ name, text }: Setting): readonly string[] {
  const nodes = text.split(",").map((url) => originOf(name, "a node", url.trim()));
  const twice = nodes.find((node, i) => nodes.indexOf(node) < i);
  if (twice !== undefined) refuse(name, `lists ${twice} twice`);
  if (nodes.length > MEMBERS_MAX + LEARNERS_MAX) refuse(name, `lists ${nodes.length} nodes, more than there can be`);
  return nodes;
}

/** A gateway knows no token: beyond loopback all that stands between strangers and the names is what the nodes ask for. */
function refuseStrangers(
  listed: Setting,
  nodes: readonly string[],
  { host, tls, behindProxy }: Pick<NodeConfig, "host" | "tls" | "behindProxy">,
): void {
  const beyond = !isLoopbackHost(host);
  if (beyond && tls === null && !behindProxy) {
    refuse("--tls-cert", `and --tls-key, or --behind-proxy, are needed to listen beyond loopback, on ${host}`);
  }
  const local = nodes.find(isLocal);
  // On loopback nodes may be without tokens, and whoever calls from this machine is let in. The gateway does.
  if ((beyond || behindProxy) && local !== undefined) {
    refuse(
      listed.name,
      `has ${local}, which may take whoever comes from this machine for its owner, as all would here`,
    );
  }
}

function isLocal(node: string): boolean {
  return isLoopback(new URL(node).host);
}

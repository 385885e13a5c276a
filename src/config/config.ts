/**
 * Settings of one node from flags and environment; flags win. Only deploy.ts and src/cli read this:
 * nothing else looks at either. What is wrong is told in one line that names the flag or variable.
 */
import { isIP } from "node:net";
import type { Rate } from "../auth/rate.ts";
import { type ClientToken, parseTokens } from "../auth/tokens.ts";
import { LEARNERS_MAX, MEMBERS_MAX, RATE_BURST, RATE_PER_SECOND } from "../limits.ts";
import { MODE_NAMES, type ModeRule } from "../engine/modes.ts";
import { LOG_FORMATS, LOG_LEVELS, type LogSettings } from "../observe/log.ts";
import type { NodeId } from "../paxos/ballot.ts";
import { joinOf, restoreOf } from "./becoming.ts";
import {
  type Env,
  forgetAfterOf,
  fromEnv,
  parseFlags,
  type Read,
  readerOf,
  refuse,
  type Setting,
  switchOf,
  textOf,
} from "./settings.ts";
import { caOf, inTheClear, type Tls, tlsOf } from "./tls.ts";

export const PORT_DEFAULT = 8701;
/** A peer secret may be guessed off line from one request that was overheard. */
export const SECRET_MIN_CHARS = 16;

export type NodeConfig = {
  readonly id: NodeId;
  /** This node is no member: it learns, serves, and counts in no quorum. */
  readonly learner: boolean;
  /** To listen on; an IPv6 address has no brackets. */
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** Origins of all members, by id; of a member its own is among them. */
  readonly urls: Readonly<Record<NodeId, string>>;
  /** Origins of all learners, by id; of a learner its own is among them. They are no part of ClusterConfig. */
  readonly learners: Readonly<Record<NodeId, string>>;
  /** Where the store is: a file that this process has to itself, or a database that others may serve too (`isSharedKv`). */
  readonly kv: string;
  /** Bears what a database behind a URL asks for; null: the process's own DENO_KV_ACCESS_TOKEN, if any. */
  readonly kvToken: string | null;
  /** How keys use their standing ballot, by prefix; read at init only. */
  readonly modes: readonly ModeRule[];
  /** Whether it was said who the members are; else this node is one alone. */
  readonly isClusterGiven: boolean;
  /** Make the store a member before serving. */
  readonly init: boolean;
  /** The cluster that a store which is nobody's waits to be made a member of; null: none. */
  readonly join: string | null;
  /** The backup whose records it then begins with; null: with none. */
  readonly restore: string | null;
  /** Which restore it is of all of this line of clusters; null: one more than lie behind the backup. */
  readonly restoreNumber: number | null;
  /** None, one or two; the first signs, each is accepted. */
  readonly secrets: readonly string[];
  /** null: none are configured, and `host` is a loopback one. */
  readonly tokens: readonly ClientToken[] | null;
  /** How often one subject may ask this node; null: as often as it likes. */
  readonly rate: Rate | null;
  /** Origins whose pages may ask this node; `*`: any. */
  readonly cors: readonly string[];
  /** Names that nobody has used for so long are forgotten; Infinity: none is. */
  readonly forgetAfterMs: number;
  readonly log: LogSettings;
  readonly tls: Tls | null;
  /** PEM text of the CA that other nodes' certificates may come from besides those of the system. */
  readonly ca: string | null;
  /** TLS ends at a proxy in front of this node. */
  readonly behindProxy: boolean;
  /** Other nodes that are asked over plain HTTP on a network, since the operator wants it so. */
  readonly insecurePeers: readonly NodeId[];
  /** Others may be asked so too, that become members later. */
  readonly mayBeInsecure: boolean;
};

/** Those settings that may stand in files, and that a process reads again where it is told to. */
export type Credentials = Pick<NodeConfig, "tls" | "ca" | "secrets" | "tokens">;

const NODE_FLAGS = {
  id: "value",
  port: "value",
  host: "value",
  cluster: "value",
  kv: "value",
  modes: "value",
  init: "switch",
  join: "value",
  restore: "value",
  "restore-number": "value",
  learner: "switch",
  learners: "value",
  "forget-after": "value",
  log: "value",
  "log-level": "value",
  "tls-cert": "value",
  "tls-key": "value",
  "tls-ca": "value",
  "behind-proxy": "switch",
  "insecure-peers": "switch",
} as const;

/** Stands for the database that a hosting platform attaches to its app, and that has no name there. */
export const ATTACHED_KV = "attached database";

/** Whether any number of processes may serve this store at once. */
export function isSharedKv(kv: string): boolean {
  return kv === ATTACHED_KV || /^https?:\/\//i.test(kv);
}

const LOOPBACK_HOSTS: readonly string[] = ["localhost", "127.0.0.1", "::1"];

/**
 * The settings of `deno task node`, or of a hosted node, whose platform brings a database. `readTextFile` reads what flags and
 * variables name: certificates, key, and QUORATE_TOKENS and QUORATE_PEER_SECRET of the form `@file`. Rejects with QuorateError `invalid-request`; its
 * `field` is the flag or variable.
 */
export async function parseConfig(
  args: readonly string[],
  env: Env,
  readTextFile: (path: string) => Promise<string>,
  { isHosted = false }: { readonly isHosted?: boolean } = {},
): Promise<NodeConfig> {
  const flags = parseFlags(args, NODE_FLAGS);
  const setting = (flag: keyof typeof NODE_FLAGS, variable: string): Setting | null => {
    const text = flags[flag];
    return text === undefined ? fromEnv(env, variable) : { name: `--${flag}`, text };
  };
  const read = readerOf(readTextFile);

  const id = nodeId(setting("id", "QUORATE_ID") ?? refuse("--id", "or QUORATE_ID is needed: which member this is"));
  const kv = kvOf(setting("kv", "QUORATE_KV"), isHosted);
  const host = hostOf(setting("host", "QUORATE_HOST"));
  const port = portOf(setting("port", "QUORATE_PORT"));
  const tls = await tlsOf(flags["tls-cert"], flags["tls-key"], read);
  const cluster = setting("cluster", "QUORATE_CLUSTER");
  const own = `${tls === null ? "http" : "https"}://${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  const learner = flags.learner !== undefined;
  if (learner && cluster === null) refuse("--learner", "needs --cluster: whom it learns from");
  const urls = cluster === null ? { [id]: own } : clusterOf(cluster, learner ? null : id);
  const listed = setting("learners", "QUORATE_LEARNERS");
  const learners = learnersOf(listed, urls, learner ? id : null);
  const ca = await caOf(setting("tls-ca", "QUORATE_TLS_CA"), read);
  const secrets = await secretsOf(fromEnv(env, "QUORATE_PEER_SECRET"), read);
  const tokens = await tokensOf(fromEnv(env, "QUORATE_TOKENS"), read);
  const rate = rateOf(fromEnv(env, "QUORATE_RATE"), tokens);
  const log = logOf(setting("log", "QUORATE_LOG"), setting("log-level", "QUORATE_LOG_LEVEL"));
  const mayBeInsecure = flags["insecure-peers"] !== undefined || switchOf(fromEnv(env, "QUORATE_INSECURE_PEERS"));
  const { [id]: _own, ...others } = { ...urls, ...learners };
  const insecurePeers = inTheClear(others);

  const config = {
    id,
    host,
    port,
    urls,
    learner,
    learners,
    kv,
    kvToken: fromEnv(env, "QUORATE_KV_TOKEN")?.text.trim() ?? null,
    modes: modesOf(setting("modes", "QUORATE_MODES")),
    isClusterGiven: cluster !== null,
    init: flags.init !== undefined,
    ...joinOf(setting("join", "QUORATE_JOIN"), flags, secrets),
    ...restoreOf(flags),
    secrets,
    tokens,
    rate,
    cors: corsOf(fromEnv(env, "QUORATE_CORS"), { hasOwner: tokens !== null }),
    forgetAfterMs: forgetAfterOf(setting("forget-after", "QUORATE_FORGET_AFTER")),
    log,
    tls,
    ca,
    behindProxy: flags["behind-proxy"] !== undefined,
    insecurePeers,
    mayBeInsecure,
  };
  refuseStrangers(config);
  const [insecure] = insecurePeers;
  if (insecure !== undefined && !mayBeInsecure) {
    refuseInTheClear((Object.hasOwn(learners, insecure) ? listed : cluster)!.name, insecure, others[insecure]!);
  }
  return config;
}

/** `PREFIX=MODE,…`, each prefix of keys such as `lock/jobs/`. */
function modesOf(setting: Setting | null): readonly ModeRule[] {
  if (setting === null) return [];
  const rules = setting.text.split(",").map((rule): ModeRule => {
    const [prefix, name, ...rest] = rule.split("=");
    const mode = MODE_NAMES.find((known) => known === name);
    if (!prefix || mode === undefined || rest.length > 0) {
      refuse(setting.name, `"${rule}" is not PREFIX=MODE with a mode of ${MODE_NAMES.join(", ")}`);
    }
    return { prefix, mode };
  });
  if (new Set(rules.map(({ prefix }) => prefix)).size < rules.length) refuse(setting.name, "names a prefix twice");
  // In one order, whatever the order of the flag: every member has to get the same text.
  return rules.sort((a, b) => a.prefix < b.prefix ? -1 : 1);
}

/** A TCP port; the default if not set. */
export function portOf(setting: Setting | null): number {
  if (setting === null) return PORT_DEFAULT;
  const port = /^[0-9]{1,5}$/.test(setting.text) ? Number(setting.text) : NaN;
  if (!(port <= 65_535)) refuse(setting.name, `is not a port, 0 to 65535: ${JSON.stringify(setting.text)}`);
  return port;
}

/** Ids travel in headers and are parts of ballots' and values' names, hence this little alphabet. */
function nodeId({ name, text }: Setting): NodeId {
  if (!/^[a-z0-9-]{1,32}$/.test(text)) {
    refuse(name, `has a bad node id, ${JSON.stringify(text)}: 1 to 32 of a-z, 0-9 and "-"`);
  }
  return text;
}

function kvOf(setting: Setting | null, isHosted: boolean): string {
  if (setting === null) {
    return isHosted
      ? ATTACHED_KV
      : refuse("--kv", "or QUORATE_KV is needed: the file or database that holds the votes");
  }
  const { name, text } = setting;
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return text;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !isSharedKv(text)) refuse(name, "is neither a file nor an http or https URL of a KV database");
  // Not repeated: it would put the password into a log.
  if (url.username !== "" || url.password !== "") {
    refuse(name, "has credentials in its URL; QUORATE_KV_TOKEN is for them");
  }
  return url.href;
}

/**
 * `ORIGIN,ORIGIN,…`, as browsers write them, or `*`.
 * @param hasOwner whether something besides the sender's machine tells who may ask
 */
export function corsOf(setting: Setting | null, { hasOwner }: { readonly hasOwner: boolean }): readonly string[] {
  if (setting === null) return [];
  const origins = setting.text.split(",").map((text) => text.trim());
  for (const text of origins) {
    if (text === "*") {
      if (!hasOwner) refuse(setting.name, "is *, but without tokens any page in a browser here would be its owner");
    } else if (!/^https?:/.test(text) || !URL.canParse(text) || new URL(text).origin !== text) {
      refuse(setting.name, `has ${JSON.stringify(text)}, which is no origin such as https://app.example`);
    }
  }
  return origins;
}

export function hostOf(setting: Setting | null): string {
  if (setting === null) return "127.0.0.1";
  const host = setting.text.replace(/^\[(.*)\]$/, "$1");
  if (isIP(host) === 0 && !/^[a-z0-9._-]+$/i.test(host)) {
    refuse(setting.name, `is not an address or host name without port: ${JSON.stringify(setting.text)}`);
  }
  return host.toLowerCase();
}

/** How lines for the operator are written, and from which level on. */
export function logOf(format: Setting | null, level: Setting | null): LogSettings {
  const one = <T extends string>(setting: Setting | null, known: readonly T[], otherwise: T): T => {
    if (setting === null) return otherwise;
    return known.find((each) => each === setting.text) ??
      refuse(setting.name, `is not one of ${known.join(", ")}: ${JSON.stringify(setting.text)}`);
  };
  return { format: one(format, LOG_FORMATS, "text"), level: one(level, LOG_LEVELS, "info") };
}

/** @param own null: a learner, which must not be listed */
function clusterOf(setting: Setting, own: NodeId | null): Readonly<Record<NodeId, string>> {
  const { name } = setting;
  const urls = urlsOf(setting);
  const ids = Object.keys(urls);
  // Two members are no safer than one and stop when either does.
  if (ids.length === 2) refuse(name, "lists 2 members, which stop when either does; take 1 or 3 to 9");
  if (ids.length > MEMBERS_MAX) refuse(name, `lists ${ids.length} members; at most ${MEMBERS_MAX} can be`);
  if (own !== null && !ids.includes(own)) refuse(name, `does not list this node, ${own}, but ${ids.join(", ")}`);
  return urls;
}

/** @param own null: a member */
function learnersOf(
  setting: Setting | null,
  members: Readonly<Record<NodeId, string>>,
  own: NodeId | null,
): Readonly<Record<NodeId, string>> {
  if (own !== null && Object.hasOwn(members, own)) refuse("--learner", `is not for ${own}, which is a member`);
  if (setting === null) {
    if (own !== null) {
      refuse("--learners", "or QUORATE_LEARNERS is needed, the same on every node, with this one in it");
    }
    return {};
  }
  const { name } = setting;
  const learners = urlsOf(setting);
  const ids = Object.keys(learners);
  if (ids.length > LEARNERS_MAX) refuse(name, `lists ${ids.length} learners; at most ${LEARNERS_MAX} can be`);
  for (const id of ids) {
    // As both, a node that does not vote would be counted as one that does.
    if (Object.hasOwn(members, id)) refuse(name, `lists ${id}, which is a member`);
    const member = Object.keys(members).find((other) => members[other] === learners[id]);
    if (member !== undefined) refuse(name, `gives ${id} the URL of member ${member}, ${learners[id]}`);
  }
  if (own !== null && !ids.includes(own)) refuse(name, `does not list this node, ${own}, but ${ids.join(", ")}`);
  return learners;
}

/** Sorted by id. */
function urlsOf({ name, text }: Setting): Readonly<Record<NodeId, string>> {
  const urls = new Map<NodeId, string>();
  for (const entry of text.split(",").map((part) => part.trim())) {
    const at = entry.indexOf("=");
    if (at < 0) refuse(name, `has ${JSON.stringify(entry)} where id=URL is needed, as in a=http://10.0.0.1:8701`);
    const id = nodeId({ name, text: entry.slice(0, at) });
    const url = originOf(name, id, entry.slice(at + 1));
    if (urls.has(id)) refuse(name, `lists ${id} twice`);
    for (const [other, taken] of urls) if (taken === url) refuse(name, `gives ${other} and ${id} the same URL, ${url}`);
    urls.set(id, url);
  }
  return Object.fromEntries([...urls].sort(([a], [b]) => a < b ? -1 : 1));
}

/** @param whose as the refusal names it */
export function originOf(name: string, whose: string, text: string): string {
  // Not repeated: it would put the password into a log.
  if (text.includes("@")) refuse(name, `gives ${whose} a URL with credentials`);
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:\/\//i.test(text)) {
    refuse(name, `gives ${whose} what is no http or https URL: ${JSON.stringify(text)}`);
  }
  if (url.pathname !== "/" || /[?#]/.test(text)) {
    refuse(name, `gives ${whose} a URL with a path, query or fragment: ${JSON.stringify(text)}`);
  }
  return url.origin;
}

async function secretsOf(setting: Setting | null, read: Read): Promise<readonly string[]> {
  if (setting === null) return [];
  const text = await textOf(setting, read);
  // A line break at the end of a file must not make two members strangers.
  const secrets = text.split(",").map((secret) => secret.trim());
  if (secrets.length > 2) refuse(setting.name, "holds more than two secrets");
  secrets.forEach((secret, index) => {
    if (secret.length >= SECRET_MIN_CHARS) return;
    const which = secrets.length === 1 ? "" : ` in secret ${index + 1}`;
    refuse(setting.name, `has fewer than ${SECRET_MIN_CHARS} characters${which}`);
  });
  return secrets;
}

/** Those the HTTP side takes as a caller's Host when there are no tokens. */
export function isLoopbackHost(host: string): boolean {
  return LOOPBACK_HOSTS.includes(host);
}

async function tokensOf(setting: Setting | null, read: Read): Promise<NodeConfig["tokens"]> {
  return setting === null ? null : parseTokens(await textOf(setting, read));
}

/** `PER_SECOND/BURST` or `off`. Without tokens every program of this machine is one subject, and none of them is limited. */
function rateOf(setting: Setting | null, tokens: NodeConfig["tokens"]): Rate | null {
  if (setting === null) return tokens === null ? null : { perSecond: RATE_PER_SECOND, burst: RATE_BURST };
  if (setting.text === "off") return null;
  const [, perSecond, burst] = /^([1-9][0-9]{0,6})\/([1-9][0-9]{0,6})$/.exec(setting.text) ?? [];
  if (perSecond === undefined || burst === undefined) {
    refuse(setting.name, `is neither "off" nor PER_SECOND/BURST, as in 200/400: ${JSON.stringify(setting.text)}`);
  }
  return { perSecond: Number(perSecond), burst: Number(burst) };
}

/** Requests between nodes are signed, but anybody on the way can read the names, holders and values in them. */
function refuseInTheClear(name: string, id: NodeId, url: string): never {
  refuse(
    name,
    `has ${id} at ${url}, which anybody on the way can read; give the nodes certificates (quorate cert new) and https ` +
      "URLs, or --insecure-peers (QUORATE_INSECURE_PEERS=1) where their network is encrypted otherwise",
  );
}

/** What has to be set before anybody but this machine's owner can reach the node. */
function refuseStrangers({ host, urls, learners, secrets, tokens, tls, behindProxy }: NodeConfig): void {
  const size = Object.keys({ ...urls, ...learners }).length;
  if (size > 1 && secrets.length === 0) {
    refuse("QUORATE_PEER_SECRET", `is needed in a cluster of ${size}, the same on every node`);
  }
  const beyond = !isLoopbackHost(host);
  // A proxy's callers come from elsewhere even if it calls from this machine.
  if ((beyond || behindProxy) && tokens === null) {
    refuse("QUORATE_TOKENS", `is needed ${beyond ? `to listen beyond loopback, on ${host}` : "with --behind-proxy"}`);
  }
  if (beyond && tls === null && !behindProxy) {
    refuse("--tls-cert", `and --tls-key, or --behind-proxy, are needed to listen beyond loopback, on ${host}`);
  }
}

/**
 * Which nodes there are, as nodes themselves say it. A URL that is learned is sent tokens of callers, so it is believed only of
 * a node that is trusted already, and it may not be worse protected than that node.
 */
import { isLoopback } from "../http/request_head.ts";
import { MEMBER_URL_MAX_CHARS, MEMBERS_MAX } from "../limits.ts";
import type { Fetch } from "./failover.ts";
import { instanceOf } from "./instances.ts";
import type { Clock } from "./nearest.ts";

/** On every answer under /v1 to a caller that a node knows: the epoch that the node is in. */
const EPOCH_HEADER = "quorate-epoch";
/** Any token may read it, and a busy node answers it too. */
const TARGET = "/v1/status";
const EPOCH_MAX = 1_000_000;
const WITHIN_MS = 2_000;
const ANSWER_MAX_BYTES = 256 * 1_024;
/** A node that said nothing to learn from is not asked again so soon; up to half as much again, so that not all ask at once. */
const AGAIN_MS = 30_000;

/** The members of a cluster as one node has them. */
export type Listed = {
  /** The id of the cluster. */
  readonly cluster: string;
  readonly epoch: number;
  /** URLs by the members' ids. */
  readonly members: Readonly<Record<string, string>>;
};

/**
 * What this node says of the members. Resolves with null where it gives no answer in time that can be believed.
 *
 * @param node its URL, to which `authorization` is sent; null: without
 */
export async function readMembers(
  { fetch, clock }: { readonly fetch: Fetch; readonly clock: Clock },
  node: string,
  authorization: string | null,
): Promise<Listed | null> {
  const late = new AbortController();
  const cancel = clock.after(WITHIN_MS, () => late.abort());
  try {
    const headers: Record<string, string> = authorization === null ? {} : { authorization };
    const response = await fetch(`${node}${TARGET}`, { headers, redirect: "manual", signal: late.signal });
    const text = await textOf(response);
    return response.status === 200 && text !== null ? listedIn(JSON.parse(text)) : null;
  } catch {
    return null;
  } finally {
    cancel();
  }
}

/** Null: it is longer than any that is believed. */
async function textOf({ body }: Response): Promise<string | null> {
  if (body === null) return null;
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.length;
    if (bytes > ANSWER_MAX_BYTES) {
      await reader.cancel();
      return null;
    }
    text += decoder.decode(value, { stream: true });
  }
}

/** Null: it is no list that can be believed as a whole. */
function listedIn(said: unknown): Listed | null {
  const { cluster, epoch, members } = (said ?? {}) as { cluster?: unknown; epoch?: unknown; members?: unknown };
  if (typeof cluster !== "string" || !/^[\x21-\x7e]{1,64}$/.test(cluster)) return null;
  if (!Number.isSafeInteger(epoch) || (epoch as number) < 0 || (epoch as number) > EPOCH_MAX) return null;
  if (!Array.isArray(members) || members.length === 0 || members.length > MEMBERS_MAX) return null;
  const urls: [string, string][] = [];
  for (const member of members) {
    const { id, url } = (member ?? {}) as { id?: unknown; url?: unknown };
    if (typeof id !== "string" || !/^[a-z0-9-]{1,32}$/.test(id) || !isOrigin(url)) return null;
    urls.push([id, url]);
  }
  const listed = Object.fromEntries(urls);
  const areOnce = Object.keys(listed).length === urls.length && new Set(Object.values(listed)).size === urls.length;
  return areOnce ? { cluster, epoch: epoch as number, members: listed } : null;
}

/** A host and no more: no credentials, no path. */
function isOrigin(url: unknown): url is string {
  if (typeof url !== "string" || url.length > MEMBER_URL_MAX_CHARS || !/^https?:\/\//.test(url)) return false;
  return URL.canParse(url) && new URL(url).origin === url;
}

/**
 * What is named is never worse protected than the node that names it: it is not asked in the clear where that is not, nor beyond
 * this machine, and no stranger names this machine's own ports.
 */
function mayName(node: string, url: string): boolean {
  const [from, to] = [new URL(node), new URL(url)];
  if (isThisMachine(to)) return isThisMachine(from) && (from.protocol === "http:" || to.protocol === "https:");
  return to.protocol === "https:" || (from.protocol === "http:" && !isThisMachine(from));
}

/** More hosts than a node on loopback lets in by their name: this is about where a request would go. */
function isThisMachine({ host, hostname }: URL): boolean {
  return isLoopback(host) || /^(127\.|0\.0\.0\.0$|\[::\]$|\[::ffff:(7f|0:0\]))|(^|\.)localhost\.?$/.test(hostname);
}

/** What is learned of a cluster, beside the URLs that were given for it. */
export class LearnedNodes {
  readonly #parts: { readonly fetch: Fetch; readonly clock: Clock };
  readonly #seeds: readonly string[];
  readonly #onNodes: (nodes: readonly string[]) => void;
  /** When a node may be asked again that was asked in vain. */
  readonly #notBefore = new Map<string, number>();
  /** Null: nothing has been learned. */
  #known: Listed | null = null;
  #asking: Promise<void> | null = null;

  /** @param onNodes told of all nodes, the seeds among them, each time they are others */
  constructor(
    parts: { readonly fetch: Fetch; readonly clock: Clock },
    seeds: readonly string[],
    onNodes: (nodes: readonly string[]) => void,
  ) {
    this.#parts = parts;
    this.#seeds = seeds;
    this.#onNodes = onNodes;
  }

  /**
   * What a node answered. Where it says of a newer epoch than is known, the node is asked for its members, in the background.
   *
   * @param authorization what the node was just sent; it is sent to no other
   */
  note(node: string, headers: Headers, authorization: string | null): void {
    const told = instanceOf(headers.get(EPOCH_HEADER));
    // In the first epoch the members are who they were when the URLs were given.
    if (told === undefined || told <= (this.#known?.epoch ?? 0) || this.#asking !== null) return;
    const now = this.#parts.clock.now();
    if (now < (this.#notBefore.get(node) ?? -Infinity)) return;
    this.#asking = this.#ask(node, authorization).finally(() => this.#asking = null);
  }

  async #ask(node: string, authorization: string | null): Promise<void> {
    const listed = await readMembers(this.#parts, node, authorization);
    if (listed !== null && this.#isNews(node, listed)) {
      // What may not be named is left out; it may be reached all the same where it was given.
      const named = Object.entries(listed.members).filter(([, url]) => mayName(node, url));
      this.#known = { ...listed, members: Object.fromEntries(named) };
      const nodes = [...new Set([...this.#seeds, ...named.map(([, url]) => url)])];
      for (const gone of this.#notBefore.keys()) if (!nodes.includes(gone)) this.#notBefore.delete(gone);
      this.#onNodes(nodes);
      return;
    }
    this.#notBefore.set(node, this.#parts.clock.now() + AGAIN_MS * (1 + Math.random() / 2));
  }

  /**
   * What stands behind a URL that is no member's is a gateway or a proxy, and its callers stay before it. A member that was
   * replaced tells who came for it.
   */
  #isNews(node: string, { cluster, epoch, members }: Listed): boolean {
    const known = this.#known;
    if (known !== null && (cluster !== known.cluster || epoch <= known.epoch)) return false;
    return Object.values(members).includes(node) || Object.values(known?.members ?? {}).includes(node);
  }
}

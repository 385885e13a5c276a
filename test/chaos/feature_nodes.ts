/** Three real nodes as the steps of the features use them: every request is noted, so that it can be told which were sent. */
import { assert, assertEquals } from "@std/assert";
import { sha256Hex } from "../../src/auth/digest.ts";
import { EventReader } from "../routes/event_reader.ts";
import type { Sent } from "./feature_requests.ts";
import { pause, RealCluster } from "./real_cluster.ts";

/** Requests of any one subject at any one node; what comes back is next to nothing. */
export const BURST = 1_000;
const TOKENS = [
  { subject: "app", scopes: ["*:read,write:*", "admin:*"] },
  { subject: "other", scopes: ["*:read,write:*"] },
  { subject: "team", scopes: ["lock:read,write:team/*"] },
  { subject: "many", scopes: ["*:read,write:*"] },
];
const ENV = {
  QUORATE_TOKENS: JSON.stringify(
    TOKENS.map(({ subject, scopes }) => ({ subject, sha256: sha256Hex(subject), scopes })),
  ),
  QUORATE_RATE: `1/${BURST}`,
  QUORATE_TRACE: "1",
};
/** Nothing that is waited for takes longer; a machine may be slow. */
const WITHIN_MS = 120_000;
const TRIES = 400;
const SOON_TRIES = 40;

export type Json = Record<string, unknown>;
export type Answer = { readonly status: number; readonly headers: Headers; readonly text: string; readonly body: Json };
type Ask = {
  readonly json?: unknown;
  readonly bytes?: BodyInit;
  readonly headers?: Record<string, string>;
  /** Whose token; null: none. */
  readonly as?: string | null;
};

/** One node, told what a client tells it. */
export type Node = {
  readonly url: string;
  /** As `fetch`, with the token of `as`. */
  send(method: string, path: string, ask?: Ask): Promise<Response>;
  ask(method: string, path: string, ask?: Ask): Promise<Answer>;
  /** The body of an answer with this status. */
  said(status: number, method: string, path: string, json?: unknown, headers?: Record<string, string>): Promise<Json>;
  events(method: string, path: string, ask?: Ask): Promise<EventReader>;
};

export type Nodes = {
  readonly a: Node;
  readonly b: Node;
  readonly c: Node;
  /** Base URLs by id. */
  readonly urls: Readonly<Record<string, string>>;
  /** As `fetch`, for what sends by itself. */
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
};

/** By name of the feature. */
export type Steps = Readonly<Record<string, (nodes: Nodes) => Promise<void>>>;

export class FeatureNodes {
  readonly #cluster: RealCluster;
  readonly #deadline = new AbortController();
  readonly #timer = setTimeout(() => this.#deadline.abort(new Error("waited too long")), WITHIN_MS);
  #sent: Sent[] = [];
  #readers: EventReader[] = [];

  private constructor(cluster: RealCluster) {
    this.#cluster = cluster;
  }

  static async start(): Promise<FeatureNodes> {
    return new FeatureNodes(await RealCluster.start(3, 0, { env: ENV }));
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#cluster.stop();
  }

  /** Runs `step`; what it sent. Streams it left open are closed. */
  async during(step: (nodes: Nodes) => Promise<void>): Promise<readonly Sent[]> {
    this.#sent = [];
    const [a, b, c] = this.#cluster.ids.map((id) => this.#node(this.#cluster.url(id))) as [Node, Node, Node];
    const urls = Object.fromEntries(this.#cluster.ids.map((id) => [id, this.#cluster.url(id)]));
    try {
      await step({ a, b, c, urls, fetch: (url, init) => this.#fetch(url, init) });
      return this.#sent;
    } finally {
      await Promise.all(this.#readers.map((reader) => reader.close()));
      this.#readers = [];
    }
  }

  #node(url: string): Node {
    const send = (method: string, path: string, { json, bytes, headers = {}, as = "app" }: Ask = {}) => {
      const token: Record<string, string> = as === null ? {} : { authorization: `Bearer ${as}` };
      const body = json === undefined ? bytes ?? null : JSON.stringify(json);
      return this.#fetch(`${url}${path}`, { method, headers: { ...token, ...headers }, body });
    };
    const ask = async (method: string, path: string, asked?: Ask) => {
      const response = await send(method, path, asked);
      const text = await response.text();
      const isJson = /^application\/(problem\+)?json/.test(response.headers.get("content-type") ?? "");
      const body: Json = isJson && text !== "" ? JSON.parse(text) : {};
      return { status: response.status, headers: response.headers, text, body };
    };
    return {
      url,
      send,
      ask,
      said: async (status, method, path, json, headers) => {
        const answer = await ask(method, path, { ...(json !== undefined && { json }), ...(headers && { headers }) });
        assertEquals(answer.status, status, `${method} ${path}: ${answer.text}`);
        return answer.body;
      },
      events: async (method, path, asked) => {
        const response = await send(method, path, asked);
        assertEquals(response.status, 200, `${method} ${path}`);
        const reader = new EventReader(response);
        this.#readers.push(reader);
        return reader;
      },
    };
  }

  #fetch(url: string, init: RequestInit): Promise<Response> {
    const { origin } = new URL(url);
    this.#sent.push({
      origin,
      method: init.method ?? "GET",
      path: url.slice(origin.length),
      headers: new Headers(init.headers),
      body: init.body ?? null,
    });
    return fetch(url, { ...init, signal: this.#deadline.signal });
  }
}

/** Asks until the answer fits: soon at first, and then seldom, as each subject has a burst of requests and no more. */
export async function until<T>(ask: () => Promise<T>, fits: (answer: T) => boolean): Promise<T> {
  let answer = await ask();
  for (let i = 0; i < TRIES && !fits(answer); i++) {
    await pause(i < SOON_TRIES ? 25 : 250);
    answer = await ask();
  }
  assert(fits(answer), `it never came: ${JSON.stringify(answer)}`);
  return answer;
}

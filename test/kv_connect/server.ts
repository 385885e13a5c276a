/** KV Connect over HTTP: several databases in memory, one for each first part of a path. */
import { checkRead, CHECKS_MAX, checkWrite, Refused } from "./limits.ts";
import { HostedDatabase } from "./hosted_database.ts";
import {
  decodeAtomicWrite,
  decodeSnapshotRead,
  encodeReadOutput,
  encodeWriteOutput,
  READ_SUCCESS,
  WRITE_CHECK_FAILURE,
  WRITE_SUCCESS,
} from "./messages.ts";
import { MalformedMessage } from "./protobuf.ts";
import { Relay } from "./relay.ts";

/** What Deno 1.43 and later speak. */
const VERSION = 3;
/** A largest atomic write with what frames it. */
const BODY_MAX_BYTES = 2 * 1024 * 1024;
const NOTHING = new Uint8Array();

export type KvConnectOptions = {
  /** What clients have in DENO_KV_ACCESS_TOKEN, for all databases that are not given another. */
  readonly accessToken?: string;
  /** A free one if not given. */
  readonly port?: number;
  readonly checksMax?: number;
};

export type KvConnect = {
  readonly accessToken: string;
  /** What `Deno.openKv` takes. */
  url(name: string): string;
  /** Makes it, if it is not there yet. */
  database(name: string): HostedDatabase;
  /** Ends every connection, also those whose requests hang. */
  stop(): Promise<void>;
};

/** Names are lower-case letters, digits, `_` and `-`. */
const NAME = /^[a-z0-9_-]{1,64}$/;

export function startKvConnect(options: KvConnectOptions = {}): KvConnect {
  const accessToken = options.accessToken ?? crypto.randomUUID();
  const server = new KvConnectServer(accessToken, options.checksMax ?? CHECKS_MAX);
  const http = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {}, onError: (error) => answer(500, String(error)) },
    (request) => server.handle(request),
  );
  const relay = new Relay(http.addr.port, options.port ?? 0);
  return {
    accessToken,
    url: (name) => `http://127.0.0.1:${relay.port}/${name}`,
    database: (name) => server.database(name),
    stop: async () => {
      relay.close();
      await http.shutdown();
    },
  };
}

class KvConnectServer {
  readonly #databases = new Map<string, HostedDatabase>();
  readonly #accessToken: string;
  readonly #checksMax: number;

  constructor(accessToken: string, checksMax: number) {
    this.#accessToken = accessToken;
    this.#checksMax = checksMax;
  }

  database(name: string): HostedDatabase {
    if (!NAME.test(name)) throw new TypeError(`not a database's name: ${name}`);
    const found = this.#databases.get(name) ?? new HostedDatabase(this.#accessToken);
    this.#databases.set(name, found);
    return found;
  }

  async handle(request: Request): Promise<Response> {
    const [, name = "", method, ...more] = new URL(request.url).pathname.split("/");
    if (!NAME.test(name) || more.length > 0) return answer(404, "Resource not found.");
    if (request.method !== "POST") return answer(405, "Only POST is allowed.");
    const body = await bodyOf(request);
    if (body === null) return answer(413, "The request is too large.");
    try {
      if (method === undefined) return this.#exchange(name, request.headers, body);
      return this.#call(name, method, request.headers, body);
    } catch (error) {
      if (error instanceof MalformedMessage) return answer(400, `Request protobuf is invalid: ${error.message}.`);
      if (error instanceof Refused) return answer(400, error.message);
      throw error;
    }
  }

  #exchange(name: string, headers: Headers, body: Uint8Array): Response {
    const expected = this.#databases.get(name)?.accessToken ?? this.#accessToken;
    if (!versionsOf(body).includes(VERSION)) return answer(400, `The server speaks protocol version ${VERSION}.`);
    // Before the database is made: who has no token makes none.
    if (bearerOf(headers) !== expected) return answer(401, "Invalid access token.");
    const database = this.database(name);
    const { token, expiresAt } = database.issueToken();
    return Response.json({
      version: VERSION,
      databaseId: database.id,
      endpoints: [{ url: `/${name}`, consistency: "strong" }],
      token,
      expiresAt: expiresAt.toISOString(),
    });
  }

  #call(name: string, method: string, headers: Headers, body: Uint8Array): Response {
    if (headers.get("x-denokv-version") !== String(VERSION)) return answer(400, `Expected version ${VERSION}.`);
    const database = this.#databases.get(name);
    if (database === undefined || !database.isGood(bearerOf(headers))) return answer(401, "Invalid access token.");
    if (headers.get("x-denokv-database-id") !== database.id) return answer(400, "Invalid database id.");
    if (method === "snapshot_read") return this.#read(database, body);
    if (method === "atomic_write") return this.#write(database, body);
    // Not 5xx, which a client takes for a passing trouble and tries again for ever.
    if (method === "watch") return answer(400, "Watching is not supported.");
    return answer(404, "Resource not found.");
  }

  #read(database: HostedDatabase, body: Uint8Array): Response {
    const ranges = decodeSnapshotRead(body);
    checkRead(ranges);
    return message(encodeReadOutput(READ_SUCCESS, database.read(ranges)));
  }

  #write(database: HostedDatabase, body: Uint8Array): Response {
    const write = decodeAtomicWrite(body);
    checkWrite(write, this.#checksMax);
    const commit = database.write(write);
    return message(
      commit.ok
        ? encodeWriteOutput(WRITE_SUCCESS, commit.versionstamp, [])
        : encodeWriteOutput(WRITE_CHECK_FAILURE, NOTHING, commit.failedChecks),
    );
  }
}

function answer(status: number, text: string): Response {
  return new Response(text, { status });
}

function message(body: Uint8Array<ArrayBuffer>): Response {
  return new Response(body, { headers: { "content-type": "application/x-protobuf" } });
}

/** Empty if there is none. */
function bearerOf(headers: Headers): string {
  return /^bearer (.+)$/i.exec(headers.get("authorization") ?? "")?.[1] ?? "";
}

function versionsOf(body: Uint8Array): unknown[] {
  try {
    const { supportedVersions } = JSON.parse(new TextDecoder().decode(body));
    return Array.isArray(supportedVersions) ? supportedVersions : [];
  } catch {
    return [];
  }
}

/** Null if it is more than any request may have. */
async function bodyOf(request: Request): Promise<Uint8Array | null> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of request.body ?? []) {
    bytes += part.length;
    if (bytes > BODY_MAX_BYTES) return null;
    parts.push(part);
  }
  const body = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    body.set(part, at);
    at += part.length;
  }
  return body;
}

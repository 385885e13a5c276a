/** KV Connect over HTTP: several databases in memory, one for each first part of a path. */
import { checkRead, CHECKS_MAX, checkWrite, Refused } from "./limits.ts";
import type { Call, Faults } from "./faults.ts";
import { HostedDatabase } from "./hosted_database.ts";
import {
  decodeAtomicWrite,
  decodeSnapshotRead,
  encodeReadOutput,
  encodeWriteOutput,
  READ_DISABLED,
  READ_SUCCESS,
  WRITE_CHECK_FAILURE,
  WRITE_DISABLED,
  WRITE_SUCCESS,
} from "./messages.ts";
import { MalformedMessage } from "./protobuf.ts";
import { Relay } from "./relay.ts";

/** What Deno 1.43 and later speak. */
const VERSION = 3;
/** A largest atomic write with what frames it. */
const BODY_MAX_BYTES = 2 * 1024 * 1024;
const NOTHING = new Uint8Array();
const SEED = 1;

const DISABLED = {
  read: encodeReadOutput(READ_DISABLED, []),
  write: encodeWriteOutput(WRITE_DISABLED, NOTHING, []),
} as const;

export type KvConnectOptions = {
  /** What clients have in DENO_KV_ACCESS_TOKEN, for all databases that are not given another. */
  readonly accessToken?: string;
  /** A free one if not given. */
  readonly port?: number;
  readonly checksMax?: number;
  /** Seed of the faults that come by chance; the same one is the same draws for the k-th call of a database. */
  readonly seed?: number;
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
  // The relay comes later than the server that it stands before, and earlier than any request.
  const server = new KvConnectServer({
    accessToken,
    checksMax: options.checksMax ?? CHECKS_MAX,
    seed: options.seed ?? SEED,
    cut: (peerPort) => relay.cut(peerPort),
  });
  const http = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {}, onError: (error) => answer(500, String(error)) },
    (request, info) => server.handle(request, info.remoteAddr.port),
  );
  const relay = new Relay(http.addr.port, options.port ?? 0);
  return {
    accessToken,
    url: (name) => `http://127.0.0.1:${relay.port}/${name}`,
    database: (name) => server.database(name),
    stop: async () => {
      server.stop();
      relay.close();
      await http.shutdown();
    },
  };
}

type ServerOptions = Required<Omit<KvConnectOptions, "port">> & {
  /** Ends the connection of a request. */
  readonly cut: (peerPort: number) => void;
};

/** One call to the data path, with a token that is good. */
type DataCall = {
  readonly call: Call;
  readonly database: HostedDatabase;
  readonly body: Uint8Array;
  readonly peerPort: number;
};

class KvConnectServer {
  readonly #databases = new Map<string, HostedDatabase>();
  readonly #options: ServerOptions;

  constructor(options: ServerOptions) {
    this.#options = options;
  }

  /** Lets go of what hangs. */
  stop(): void {
    for (const { faults } of this.#databases.values()) faults.clear();
  }

  database(name: string): HostedDatabase {
    if (!NAME.test(name)) throw new TypeError(`not a database's name: ${name}`);
    const { accessToken, seed } = this.#options;
    const found = this.#databases.get(name) ?? new HostedDatabase(accessToken, seed);
    this.#databases.set(name, found);
    return found;
  }

  async handle(request: Request, peerPort: number): Promise<Response> {
    const [, name = "", method, ...more] = new URL(request.url).pathname.split("/");
    if (!NAME.test(name) || more.length > 0) return answer(404, "Resource not found.");
    if (request.method !== "POST") return answer(405, "Only POST is allowed.");
    const body = await bodyOf(request);
    if (body === null) return answer(413, "The request is too large.");
    try {
      if (method === undefined) return this.#exchange(name, request.headers, body);
      return await this.#call(name, method, request.headers, { body, peerPort });
    } catch (error) {
      if (error instanceof MalformedMessage) return answer(400, `Request protobuf is invalid: ${error.message}.`);
      if (error instanceof Refused) return answer(400, error.message);
      throw error;
    }
  }

  #exchange(name: string, headers: Headers, body: Uint8Array): Response {
    const expected = this.#databases.get(name)?.accessToken ?? this.#options.accessToken;
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

  async #call(
    name: string,
    method: string,
    headers: Headers,
    request: { readonly body: Uint8Array; readonly peerPort: number },
  ): Promise<Response> {
    if (headers.get("x-denokv-version") !== String(VERSION)) return answer(400, `Expected version ${VERSION}.`);
    const database = this.#databases.get(name);
    if (database === undefined || !database.isGood(bearerOf(headers))) return answer(401, "Invalid access token.");
    if (headers.get("x-denokv-database-id") !== database.id) return answer(400, "Invalid database id.");
    if (method === "snapshot_read") return await this.#faulty({ call: "read", database, ...request });
    if (method === "atomic_write") return await this.#faulty({ call: "write", database, ...request });
    // Not 5xx, which a client takes for a passing trouble and tries again for ever.
    if (method === "watch") return answer(400, "Watching is not supported.");
    return answer(404, "Resource not found.");
  }

  async #faulty(request: DataCall): Promise<Response> {
    const { call, database, peerPort } = request;
    const { faults } = database;
    for (const fault of faults.before(call)) {
      if (fault === "delay-before") await faults.delay();
      else if (fault === "disabled") return message(DISABLED[call]);
      else if (fault === "error-before") return answer(503, "Made to fail before it took effect.");
      else return await hang(faults);
    }
    const body = call === "read" ? this.#read(request) : this.#write(request);
    for (const fault of faults.after(call)) {
      if (fault === "delay-after") await faults.delay();
      else if (fault === "hang-after") return await hang(faults);
      else if (fault === "error-after") return answer(503, "Made to fail after it took effect.");
      else if (fault === "garbled-after") return message(body.subarray(0, -1));
      else return this.#cut(peerPort);
    }
    return message(body);
  }

  #read({ database, body }: DataCall): Uint8Array<ArrayBuffer> {
    const ranges = decodeSnapshotRead(body);
    checkRead(ranges);
    return encodeReadOutput(READ_SUCCESS, database.read(ranges));
  }

  #write({ database, body }: DataCall): Uint8Array<ArrayBuffer> {
    const write = decodeAtomicWrite(body);
    checkWrite(write, this.#options.checksMax);
    const commit = database.write(write);
    return commit.ok
      ? encodeWriteOutput(WRITE_SUCCESS, commit.versionstamp, [])
      : encodeWriteOutput(WRITE_CHECK_FAILURE, NOTHING, commit.failedChecks);
  }

  #cut(peerPort: number): Response {
    this.#options.cut(peerPort);
    return answer(503, "Cut off: nobody hears this.");
  }
}

async function hang(faults: Faults): Promise<Response> {
  await faults.released();
  return answer(503, "Hung.");
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

/** One try of one request, and all that its answer says, for those who take every word of it for true. */

/** Longer than a node works on a request by default, a wait for the lock and a pause of the node included. */
const SILENCE_MS = 20_000;

export type Told = {
  readonly status: number;
  /** Code of a problem document. */
  readonly code: string | null;
  readonly outcome: string | null;
  readonly revision: string | null;
  /** `Consensus-Instance`; null if there is none. */
  readonly instance: number | null;
  /** From a problem whose outcome is unknown: what to send as `Quorate-Born` with a retry. */
  readonly born: number | null;
  /** JSON, or null. */
  readonly body: Readonly<Record<string, unknown>> | null;
  readonly text: string;
};

/** Times in ms of this process's clock. */
export type Try = {
  readonly callMs: number;
  readonly returnMs: number;
  /** Where it was sent. */
  readonly url: string;
  /** `Quorate-Born`, if it was sent. */
  readonly born: number | null;
  /** Null: no answer. */
  readonly told: Told | null;
};

export type Ask = {
  readonly method: string;
  readonly path: string;
  readonly body?: string;
  readonly id?: string;
  readonly born?: number | null;
  readonly headers?: Readonly<Record<string, string>>;
};

export async function ask(url: string, { method, path, body, id, born = null, headers = {} }: Ask): Promise<Try> {
  const callMs = performance.now();
  const told = await fetch(`${url}${path}`, {
    method,
    headers: {
      ...headers,
      ...(id === undefined ? {} : { "Idempotency-Key": id }),
      ...(born === null ? {} : { "Quorate-Born": `${born}` }),
    },
    signal: AbortSignal.timeout(SILENCE_MS),
    ...(body === undefined ? {} : { body }),
  }).then(toldBy).catch(() => null);
  return { callMs, returnMs: performance.now(), url, born, told };
}

async function toldBy(response: Response): Promise<Told> {
  const { status, headers } = response;
  const text = await response.text();
  const isJson = /^application\/(problem\+)?json/.test(headers.get("content-type") ?? "");
  const body = isJson ? JSON.parse(text) as Record<string, unknown> : null;
  const instance = headers.get("consensus-instance");
  const etag = headers.get("etag");
  return {
    status,
    code: textOf(body?.["code"]),
    outcome: textOf(body?.["outcome"]),
    revision: textOf(body?.["revision"]) ?? etag?.replaceAll('"', "") ?? null,
    instance: instance === null ? null : Number(instance),
    born: typeof body?.["born"] === "number" ? body["born"] : null,
    body,
    text,
  };
}

function textOf(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

/** Whether the answer says that the request was not done and never will be. */
export function isRefusal({ status, code, outcome }: Told): boolean {
  if (outcome === "unknown") return false;
  // 503 `not-ready` and 500 say nothing of what became of it.
  return outcome === "none" || (status >= 400 && status < 500 && code !== null);
}

export function isDone({ status }: Told): boolean {
  return status >= 200 && status < 300;
}

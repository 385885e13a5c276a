/** Which requests of clients are let in when, and when they make room for others. */
import type { Admission, Leave, Patience } from "../src/http/admission.ts";
import { ADMISSION_PATIENCE, ADMISSION_WAIT_MS, TIMEOUT_DEFAULT_MS } from "../src/limits.ts";
import type { Ctx } from "./answer.ts";
import { isOfThing } from "./rate_limit.ts";

const STALE = /[?&]consistency=stale(&|$)/;
const TIMEOUT = /[?&]timeoutMs=([0-9]{1,6})(&|$)/;
const KEPT = /[?&](ttlMs|session)=/;

/**
 * Runs `next` with room for the request: from its head on if it reads, else from the end of its body on (`bodyOf`), as a
 * sender that is slow must take nobody's room. What asks no other node, and costs next to nothing, needs none. Rejects with
 * `overloaded`.
 */
export async function withRoom<T>(c: Ctx, admission: Admission, next: () => Promise<T>): Promise<T> {
  const { method, path } = c.req;
  if (path === "/v1/status" || STALE.test(c.req.raw.url)) return await next();
  let leave: Leave = () => {};
  const admit = async (bytes: number, places = 1) => {
    const { subject } = c.get("client");
    leave = await admission.enter({ subject, isHolders: isHolders(c), bytes, places, patience: () => patienceOf(c) });
    c.set("leave", () => leave(false));
  };
  if (method === "GET" || method === "HEAD") await admit(0);
  else c.set("admit", admit);
  try {
    return await next();
  } finally {
    leave(true);
  }
}

/** The bytes of the body, once there is room to work on them. Rejects as `Bodies.read` does, and with `overloaded`. */
export async function bodyOf(c: Ctx, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await c.get("bodies").read(c.req.raw, maxBytes);
  await c.get("admit")?.(bytes.length);
  return bytes;
}

function patienceOf(c: Ctx): Patience {
  const { signal, url } = c.req.raw;
  const timeoutMs = Number(TIMEOUT.exec(url)?.[1] ?? TIMEOUT_DEFAULT_MS);
  return { withinMs: Math.min(ADMISSION_WAIT_MS, timeoutMs * ADMISSION_PATIENCE), isGone: () => signal.aborted };
}

/** What keeps or gives back a hold: a lock, a place, a session, a value that lives as long as it is put again; or ends one. */
function isHolders(c: Ctx): boolean {
  const { method, path, raw } = c.req;
  if (method === "DELETE" || isOfThing(method, path)) return true;
  return method === "PUT" && KEPT.test(raw.url) && raw.headers.get("if-match") !== null;
}

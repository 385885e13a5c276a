/** Which requests under /v1 are let in when, and when they make room for others. */
import type { Admission, Leave } from "../src/http/admission.ts";
import type { Ctx } from "./answer.ts";
import { isOfThing } from "./rate_limit.ts";

/**
 * Runs `next` with room for the request: from its head on if it reads, else from the end of its body on (`bodyOf`), as a
 * sender that is slow must take nobody's room. Rejects with `overloaded`.
 */
export async function withRoom(c: Ctx, admission: Admission, next: () => Promise<void>): Promise<void> {
  let leave: Leave = () => {};
  const admit = async () => {
    leave = await admission.enter(isHolders(c), () => c.req.raw.signal.aborted);
    c.set("leave", leave);
  };
  if (c.req.method === "GET" || c.req.method === "HEAD") await admit();
  else c.set("admit", admit);
  try {
    await next();
  } finally {
    leave();
  }
}

/** The bytes of the body, once there is room to work on them. Rejects as `Bodies.read` does, and with `overloaded`. */
export async function bodyOf(c: Ctx, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await c.get("bodies").read(c.req.raw, maxBytes);
  await c.get("admit")?.();
  return bytes;
}

/** What keeps or gives back a hold; and the status, which says why a node is slow. */
function isHolders(c: Ctx): boolean {
  const { method, path } = c.req;
  return isOfThing(method, path) || path === "/v1/status";
}

/**
 * For a service built with Hono that guards a resource by a lock: it refuses whoever comes with a fence below the highest seen.
 *
 * ```ts ignore
 * import { fenced, memoryFences } from "@quorate/quorate/hono";
 *
 * const fences = memoryFences();
 * app.put("/files/:name", fenced({ fences, resource: (c) => c.req.param("name") }), async (c) => {
 *   await write(c.req.param("name"), await c.req.text());
 *   return c.body(null, 204);
 * });
 * ```
 *
 * @module
 */
import type { Context, MiddlewareHandler } from "hono";
import { FENCE } from "../http/fence.ts";
import { PROBLEM_TYPE, PROBLEMS } from "../http/problem.ts";

/** Where the highest fence that each resource has seen is kept. */
export interface FenceStore {
  /**
   * Raises the highest fence of the resource to this one, unless it is as high already, in one atomic step. Resolves with the
   * highest after that. If it rejects, so does the request: nothing is let through.
   */
  raise(resource: string, fence: bigint): bigint | Promise<bigint>;
}

/** How requests are fenced. */
export interface FencedOptions {
  /** Where the highest fences are kept. It must outlive whatever they guard. */
  readonly fences: FenceStore;
  /**
   * The name of what a request writes, always written the same way, and always guarded by the same lock: fences of two locks
   * cannot be compared. Take it from the decoded parameters of the route; one resource has many paths. Undefined is an error
   * of the service: the request rejects.
   */
  readonly resource: (c: Context) => string | undefined;
  /** The header that bears the fence. Default: `Fence`, as the registers of Quorate take it. */
  readonly header?: string;
}

/** What a handler behind `fenced` finds in its context. */
export type FencedEnv = {
  /** As Hono has them. */
  readonly Variables: {
    /** The fence of this request. */
    readonly fence: bigint;
  };
};

/**
 * Middleware that lets a request through if its fence is at least the highest seen of its resource, and gives the handler the
 * fence as `c.var.fence`. Answers 412 `fence-too-low` below that, with the `highest`, and 400 `invalid-request` without a
 * fence or with one that is no decimal number from 1 on, each as `application/problem+json`. Fences are compared as integers.
 *
 * A request that was let through may still be at work when one with a higher fence comes. If its write can be late, as in
 * another process or behind a queue, let the write itself compare `c.var.fence` with what is stored beside the data. Whoever
 * may send a high fence may shut all others out, so authenticate before.
 */
export function fenced({ fences, resource, header = "Fence" }: FencedOptions): MiddlewareHandler<FencedEnv> {
  return async (c, next) => {
    const text = c.req.header(header);
    if (text === undefined || !FENCE.test(text)) {
      const detail = text === undefined ? `${header} is missing` : `${header} is not a decimal number from 1 on`;
      return problem("invalid-request", detail, { field: header });
    }
    const fence = BigInt(text);
    const name = resource(c);
    if (name === undefined) throw new TypeError("fenced: this route does not say which resource it writes");
    const highest = await fences.raise(name, fence);
    if (fence < highest) {
      return problem("fence-too-low", `fence ${fence} is below ${highest}, which was seen`, { highest: `${highest}` });
    }
    c.set("fence", fence);
    await next();
  };
}

/**
 * The highest fences in the memory of this process: enough for what lives no longer than it, as a connection does, and is
 * written by no other process.
 */
export function memoryFences(): FenceStore {
  const highest = new Map<string, bigint>();
  return {
    raise(resource, fence) {
      const seen = highest.get(resource) ?? 0n;
      if (fence <= seen) return seen;
      highest.set(resource, fence);
      return fence;
    },
  };
}

function problem(code: "invalid-request" | "fence-too-low", detail: string, more: Readonly<Record<string, string>>) {
  const { status, title, retryable } = PROBLEMS[code];
  const document = { type: "about:blank", title, status, code, detail, retryable, ...more };
  return new Response(JSON.stringify(document), { status, headers: { "Content-Type": PROBLEM_TYPE } });
}

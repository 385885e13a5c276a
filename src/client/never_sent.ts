/** What a failed fetch says of how far it came: the standard has no word for it, and each runtime its own. */

/** Node and Bun, in `code` of the error or of its cause. */
const CODES: ReadonlySet<unknown> = new Set([
  "ECONNREFUSED",
  "ConnectionRefused",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "UND_ERR_CONNECT_TIMEOUT",
]);
/** Deno, in the message of the error or of its cause. */
const MESSAGE = /\bclient error \(Connect\)/;

/** Whether surely no connection was made, so that nothing can have arrived. What is not understood may have. */
export function wasNeverSent(error: unknown): boolean {
  return [error, (error as { cause?: unknown } | null)?.cause].some((one) => {
    const { code, message } = (one ?? {}) as { code?: unknown; message?: unknown };
    return CODES.has(code) || (typeof message === "string" && MESSAGE.test(message));
  });
}

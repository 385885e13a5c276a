/** Lines of a file, one after the other. */
import { QuorateError } from "../errors.ts";

/**
 * Yields each line that has its end, without that: what stands behind the last end was never written whole. Throws
 * `invalid-request` for a line of more than `maxChars`.
 */
export async function* linesOf(bytes: AsyncIterable<Uint8Array>, maxChars: number): AsyncGenerator<string, void> {
  const decoder = new TextDecoder("utf-8", { fatal: false });
  let rest = "";
  for await (const chunk of bytes) {
    rest += decoder.decode(chunk, { stream: true });
    let from = 0;
    for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n", from)) {
      yield rest.slice(from, end);
      from = end + 1;
    }
    rest = rest.slice(from);
    if (rest.length > maxChars) {
      throw new QuorateError("invalid-request", "the backup has a line that is none of a backup");
    }
  }
}

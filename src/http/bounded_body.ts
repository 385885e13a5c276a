/** The body of a request, up to a limit. */
import { QuorateError } from "../errors.ts";

/** Rejects with `too-large` as soon as more than `maxBytes` are announced or have come. */
export async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  if (request.body === null) return new Uint8Array();
  const announced = request.headers.get("content-length");
  if (announced !== null && Number(announced) > maxBytes) throw tooLarge(maxBytes);
  try {
    // Content-Length frames the body, so the server cannot take in more; a chunked body can go on for ever.
    if (announced !== null && !request.headers.has("transfer-encoding")) {
      const bytes = new Uint8Array(await request.arrayBuffer());
      // Only a Request made in this process can lie about it.
      if (bytes.length > maxBytes) throw tooLarge(maxBytes);
      return bytes;
    }
    return await readCounted(request.body, maxBytes);
  } catch (error) {
    if (error instanceof QuorateError) throw error;
    // The connection broke in the middle of the body: nobody reads this answer, and it is no fault of this process.
    throw new QuorateError("invalid-request", "body ended early", { field: "body" });
  }
}

async function readCounted(body: ReadableStream<Uint8Array>, maxBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop by a throw cancels the stream: nothing beyond the limit is read.
  for await (const chunk of body) {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

function tooLarge(maxBytes: number): QuorateError {
  return new QuorateError("too-large", `the body is over ${maxBytes} bytes`);
}

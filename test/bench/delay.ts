/** Carries bytes as a long line does: everything arrives so much later, in order, and as much at once as was sent. */
import { writeAll } from "./byte_stream.ts";

/** Resolves when the sender's end has arrived too. Rejects where either side breaks. */
export async function carryLate(from: Deno.TcpConn, to: Deno.TcpConn, delayMs: number): Promise<void> {
  /** When each is due; null: the end. */
  const onTheWay: (readonly [atMs: number, bytes: Uint8Array | null])[] = [];
  let arrived = Promise.withResolvers<void>();
  const put = (bytes: Uint8Array | null) => {
    onTheWay.push([performance.now() + delayMs, bytes]);
    arrived.resolve();
  };
  const reading = (async () => {
    const buffer = new Uint8Array(64 * 1024);
    for (;;) {
      const count = await from.read(buffer);
      put(count === null ? null : buffer.slice(0, count));
      if (count === null) return;
    }
  })();
  const writing = (async () => {
    for (;;) {
      const next = onTheWay.shift();
      if (next === undefined) {
        arrived = Promise.withResolvers();
        await arrived.promise;
        continue;
      }
      const [atMs, bytes] = next;
      const leftMs = atMs - performance.now();
      if (leftMs > 0) await new Promise((resolve) => setTimeout(resolve, leftMs));
      if (bytes === null) return await to.closeWrite();
      await writeAll(to, bytes);
    }
  })();
  await Promise.all([reading, writing]);
}

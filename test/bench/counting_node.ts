/** `deno task node` that counts, and tells whoever asks on a port of its own, which it says when it starts. */
import { runNode } from "../../src/cli/node.ts";
import { Counter } from "./counter.ts";

/** What it says before the URL. */
export const COUNTS_AT = "counts at ";

if (import.meta.main) {
  const counter = new Counter();
  globalThis.fetch = counter.fetch(globalThis.fetch);
  counter.watch(Deno.AtomicOperation.prototype);
  counter.watchFrames(WebSocket.prototype);
  const onListen = ({ port }: Deno.NetAddr) => console.log(`${COUNTS_AT}http://127.0.0.1:${port}`);
  Deno.serve({ hostname: "127.0.0.1", port: 0, onListen }, () => Response.json(counter.counts));
  Deno.exit(await runNode(Deno.args));
}

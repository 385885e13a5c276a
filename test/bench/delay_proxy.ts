/**
 * The lines between regions, in a process of its own: told a delay for each line (ms, one way), it says on which port each
 * begins, is then told on its input to which port of 127.0.0.1 each leads, and ends with its input.
 */
import { carryLate } from "./delay.ts";

if (import.meta.main) {
  const delaysMs = JSON.parse(Deno.args[0]!) as readonly number[];
  const listeners = delaysMs.map(() => Deno.listen({ hostname: "127.0.0.1", port: 0 }));
  console.log(JSON.stringify(listeners.map(({ addr }) => addr.port)));
  const targets = Promise.withResolvers<readonly number[]>();
  listeners.forEach((listener, i) => void serve(listener, targets.promise.then((ports) => ports[i]!), delaysMs[i]!));
  let said = "";
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    said += text;
    if (said.endsWith("\n")) targets.resolve(JSON.parse(said));
  }
  Deno.exit(0);
}

async function serve(listener: Deno.TcpListener, target: Promise<number>, delayMs: number): Promise<void> {
  for await (const near of listener) {
    near.setNoDelay();
    const far = await Deno.connect({ hostname: "127.0.0.1", port: await target }).catch(() => null);
    if (far === null) {
      near.close();
      continue;
    }
    far.setNoDelay();
    Promise.all([carryLate(near, far, delayMs), carryLate(far, near, delayMs)]).catch(() => {}).finally(() => {
      near.close();
      far.close();
    });
  }
}

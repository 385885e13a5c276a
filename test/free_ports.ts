/**
 * Free ports of 127.0.0.1, for processes that are started a moment later, or started again. They are below those that a
 * system gives to senders and to who listens on port 0. Whoever imports this file has a slot of ports to itself, so that
 * files of tests that run beside each other take none from each other, nor the port of a node that is down.
 */
const FIRST = 12_000;
const SLOTS = 100;
const SLOT = 200;
const TRIES = 1_000;

/** Its first port, on which this process listens for as long as it has the others. */
const slot = takeSlot();
let next = slot + 1;

export function freePort(): number {
  return freePorts(1)[0]!;
}

/** Ports in a row, free on all of these addresses; none is given again before all others of the slot were. */
export function freePorts(count: number, addresses: readonly string[] = ["127.0.0.1"]): readonly number[] {
  for (let i = 0; i < TRIES && count < SLOT; i++) {
    if (next + count > slot + SLOT) next = slot + 1;
    const ports = Array.from({ length: count }, (_, i) => next + i);
    const listeners = listenOn(ports, addresses);
    next += listeners === null ? 1 : count;
    for (const listener of listeners ?? []) listener.close();
    if (listeners !== null) return ports;
  }
  throw new Error(`no ${count} free ports in a row`);
}

function takeSlot(): number {
  for (let i = 0; i < TRIES; i++) {
    const port = FIRST + SLOT * Math.floor(Math.random() * SLOTS);
    const listener = listenOn([port], ["127.0.0.1"])?.[0];
    if (listener === undefined) continue;
    listener.unref();
    return port;
  }
  throw new Error("no slot of ports is free");
}

/** Null: somebody listens on one of them. */
function listenOn(ports: readonly number[], addresses: readonly string[]): readonly Deno.TcpListener[] | null {
  const listeners: Deno.TcpListener[] = [];
  try {
    for (const hostname of addresses) {
      for (const port of ports) listeners.push(Deno.listen({ hostname, port }));
    }
    return listeners;
  } catch (error) {
    for (const listener of listeners) listener.close();
    if (error instanceof Deno.errors.AddrInUse) return null;
    throw error;
  }
}

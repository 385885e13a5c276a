/** Services that are there as long as their processes are, and a map of them that is kept fresh. */
import type { Quorate } from "@quorate/quorate";

/** To be disposed of when the service ends; if its process dies the entry is gone after `ttl`. */
export function announce(quorate: Quorate, service: string, id: string, url: string) {
  return quorate.register(`services/${service}/${id}`, url, { ttl: 5_000 });
}

export async function addresses(quorate: Quorate, service: string) {
  const watch = quorate.kv.watch(`services/${service}/`);
  await watch.ready;
  return { now: () => [...watch.entries.values()].map((entry) => entry.text()), close: () => watch.close() };
}

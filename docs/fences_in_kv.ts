/** The highest fences in Deno KV: they outlive the process, and several processes may share them. */
import type { FenceStore } from "../src/adapters/hono.ts";

export function kvFences(kv: Deno.Kv): FenceStore {
  return {
    async raise(resource, fence) {
      for (;;) {
        const entry = await kv.get<bigint>(["fence", resource]);
        if (entry.value !== null && entry.value >= fence) return entry.value;
        const { ok } = await kv.atomic().check(entry).set(entry.key, fence).commit();
        if (ok) return fence;
      }
    },
  };
}

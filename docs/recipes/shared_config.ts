/** A document that several write: each change is made to what is there, and no change is lost. */
import type { Quorate } from "@quorate/quorate";

type Config = Record<string, unknown>;

export async function configure(quorate: Quorate, change: (config: Config) => Config) {
  return await quorate.kv.update("config", (entry) => change((entry?.json() ?? {}) as Config));
}

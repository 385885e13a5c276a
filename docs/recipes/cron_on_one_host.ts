/** A job that runs on one host a period: the first. A host that comes within an hour after it does not run it again. */
import type { Quorate } from "@quorate/quorate";

export async function oncePerPeriod(quorate: Quorate, job: string, period: string, run: () => Promise<void>) {
  const key = `cron/${job}/${period}`; // `period` as in 2026-11-28
  const mine = await quorate.kv.put(key, "taken", { over: null, ttl: 3_600_000 });
  if (mine === null) return false; // another host has it
  await run();
  return true;
}

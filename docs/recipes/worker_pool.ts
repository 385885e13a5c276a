/** At most three workers at a time over all hosts; each item is written by who has its lock, and by nobody late. */
import type { Quorate } from "@quorate/quorate";

export async function workOn(quorate: Quorate, item: string, work: (old: string | undefined) => Promise<string>) {
  await quorate.semaphores.request("pool", { limit: 3 }, async () => {
    // The fence of a permit guards nothing: three have one at a time. That of the item's lock does.
    await quorate.locks.request(`item/${item}`, async (lock) => {
      const old = await quorate.kv.get(`item/${item}`);
      const done = await work(old?.text());
      lock.signal.throwIfAborted();
      await quorate.kv.put(`item/${item}`, done, { fence: lock.fence });
    });
  });
}

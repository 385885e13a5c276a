/** A process of a test: adds 1 to a number so many times, beside others that do the same. Arguments: URL, times. */
const [url = "", times = "0"] = Deno.args;
using kv = await Deno.openKv(url);

/** Every refusal is another's success, so that all of them together need no more. */
const TRIES_MAX = 10_000;

let left = Number(times);
for (let i = 0; i < TRIES_MAX && left > 0; i++) {
  const { value, versionstamp } = await kv.get<number>(["n"]);
  const { ok } = await kv.atomic().check({ key: ["n"], versionstamp }).set(["n"], (value ?? 0) + 1).commit();
  if (ok) left--;
}
if (left > 0) throw new Error(`${left} left`);

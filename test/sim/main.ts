/** `deno task sim --seed N` or `--seeds COUNT`: runs in virtual time; prints figures, and seed and script of a failure. */
import { parseArgs } from "node:util";
import { simulate } from "./simulator.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: { seed: { type: "string" }, seeds: { type: "string" }, from: { type: "string" } },
});
const first = Number(values.seed ?? values.from ?? 1);
const count = values.seed === undefined ? Number(values.seeds ?? 100) : 1;
const total: Record<string, number> = {};
const add = (name: string, by: number) => total[name] = (total[name] ?? 0) + by;
let worstHealMs = 0;
let failed = 0;
for (let seed = first; seed < first + count; seed++) {
  const { figures, faults } = await simulate(seed);
  for (const [name, value] of Object.entries(figures)) {
    if (typeof value === "number" && name !== "seed" && name !== "n" && name !== "healedMs") add(name, value);
  }
  for (const [path, value] of Object.entries(figures.paths)) add(`path ${path}`, value);
  worstHealMs = Math.max(worstHealMs, figures.healedMs);
  if (values.seed !== undefined) console.log(JSON.stringify(figures));
  if (faults.length === 0) continue;
  failed++;
  console.log(`seed ${seed} (n=${figures.n}) failed:\n  ${faults.slice(0, 5).join("\n  ")}`);
  if (failed >= 10) break;
}
console.log(`${count} seeds from ${first}: ${JSON.stringify({ ...total, worstHealMs })}`);
console.log(`${count - failed} passed, ${failed} failed`);
if (failed > 0) Deno.exit(1);

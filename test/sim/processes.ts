/** The names of processes: a node that has its store to itself is one of its own name, others are a.1, a.2, … */
import type { Plan } from "./plan.ts";

export function memberOf(process: string): string {
  const end = process.indexOf(".");
  return end < 0 ? process : process.slice(0, end);
}

/** The processes that serve a member together; none where it has its store to itself. */
export function isolatesOf({ shared, isolates }: Pick<Plan, "shared" | "isolates">, id: string): readonly string[] {
  return shared.includes(id) ? Array.from({ length: isolates }, (_, i) => `${id}.${i + 1}`) : [];
}

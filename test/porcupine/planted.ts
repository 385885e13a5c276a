/** Histories that are wrong by construction, and such that may be either: recorded ones with something altered. */
import type { HistoryEvent } from "../sim/check/history_lines.ts";
import type { HoldEvent } from "../sim/check/locks.ts";
import { goodHistory, PLANTS, REVISION_PLANTS } from "../sim/check/register_samples.ts";
import type { LockHistory } from "../sim/history.ts";
import { type Seeded, seededRandomness } from "../sim/virtual_time.ts";
import type { History } from "./histories.ts";

/** Null where the history has no place for it. */
type LockPlant = (told: LockHistory, random: Seeded) => LockHistory | null;

/** How long a hold of these lasts. */
const HOLD_MS = 1_000;

export const LOCK_PLANTS: Readonly<Record<string, LockPlant>> = {
  "two grants of one fence": (told) => quietly(told, [{ above: 1n, endsAtOnce: true }, { above: 1n }]),
  "fence below one that was returned": (told) => quietly(told, [{ above: 2n, endsAtOnce: true }, { above: 1n }]),
  "read below a fence that was returned": (told) => {
    const { holds, reads } = quietly(told, [{ above: 2n }]);
    const { lock, fence, returnedMs } = holds.at(-1)!;
    const read = { lock, calledMs: returnedMs + 1, returnedMs: returnedMs + 2, fence: fence - 1n };
    return { ...told, holds, reads: [...reads, read] };
  },
  "granted while another has it": (told) => told.leases ? quietly(told, [{ above: 1n }, { above: 2n }]) : null,
  "shared while another has it alone": (told) =>
    told.leases ? quietly(told, [{ above: 1n }, { above: 2n, mode: "shared" }]) : null,
  "alone while others share it": (told) =>
    told.leases ? quietly(told, [{ above: 1n, mode: "shared" }, { above: 2n, mode: "shared" }, { above: 3n }]) : null,
  "guaranteed until after the next was granted": (told, random) => {
    const alone = told.holds.filter(({ mode }) => mode === "exclusive").toSorted((a, b) => a.fence < b.fence ? -1 : 1);
    if (!told.leases || alone.length < 2) return null;
    const i = random.below(alone.length - 1);
    const until = { guaranteedUntilMs: alone[i + 1]!.returnedMs + 1, releasedMs: Infinity };
    return { ...told, holds: told.holds.map((hold) => hold === alone[i] ? { ...hold, ...until } : hold) };
  },
};

type Step = { readonly above: bigint; readonly mode?: HoldEvent["mode"]; readonly endsAtOnce?: boolean };

/** Grants in a quiet moment after everything, one after another, each above the highest fence by so much. */
function quietly(told: LockHistory, steps: readonly Step[]): LockHistory {
  const { holds, reads } = told;
  const highest = [...holds, ...reads].reduce((most, { fence }) => fence > most ? fence : most, 0n);
  const times = [...holds, ...reads].map(({ returnedMs }) => returnedMs);
  const ends = holds.map(({ guaranteedUntilMs, releasedMs }) => Math.min(guaranteedUntilMs, releasedMs));
  let nowMs = Math.max(...times, ...ends) + HOLD_MS;
  const lock = [...holds, ...reads][0]!.lock;
  const more = steps.map(({ above, mode = "exclusive", endsAtOnce = false }): HoldEvent => {
    const [calledMs, returnedMs] = [nowMs++, nowMs++];
    const guaranteedUntilMs = nowMs + HOLD_MS;
    const releasedMs = endsAtOnce ? nowMs++ : Infinity;
    return { lock, mode, calledMs, returnedMs, fence: highest + above, guaranteedUntilMs, releasedMs };
  });
  return { ...told, holds: [...holds, ...more] };
}

/** Faults in recorded histories: of each kind as many as these have a place for, `rounds` at most. */
export function planted(recorded: readonly History[], rounds: number): History[] {
  const found: History[] = [];
  const registers = recorded.filter((history) => history.of === "register");
  const locks = recorded.filter((history) => history.of === "lock").filter(({ told }) => told.holds.length > 0);
  for (const [name, plant] of Object.entries({ ...PLANTS, ...REVISION_PLANTS })) {
    const wrong = registers.values().flatMap(({ from, events }, i) => {
      const made = plant(events, seededRandomness(i + 1));
      return made === null ? [] : [{ from: `${name}, in ${from}`, of: "register" as const, events: made }];
    });
    found.push(...wrong.take(rounds));
  }
  for (const [name, plant] of Object.entries(LOCK_PLANTS)) {
    const wrong = locks.values().flatMap(({ from, told }, i) => {
      const made = plant(told, seededRandomness(i + 1));
      return made === null ? [] : [{ from: `${name}, in ${from}`, of: "lock" as const, told: made }];
    });
    found.push(...wrong.take(rounds));
  }
  return found;
}

const SHAPE = { clients: 4, ops: 32, unknown: 0.1, revisions: false };

/** Good histories of a register in which two reads have changed places: some are right still, some are not. */
export function altered(count: number): History[] {
  return Array.from({ length: count }, (_, i): History => {
    const random = seededRandomness(i + 1, 1);
    const events = goodHistory(i + 1, SHAPE);
    const reads = events.filter(({ op, output }) => op === "get" && output !== "unknown");
    const [one, other] = [random.pick(reads), random.pick(reads)];
    const swapped = events.map((event): HistoryEvent =>
      event === one ? { ...one, output: other.output } : event === other ? { ...other, output: one.output } : event
    );
    return { from: `sample ${i + 1}, two reads changed`, of: "register", events: swapped };
  });
}

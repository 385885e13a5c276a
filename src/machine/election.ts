/** An election: a lock whose holder is the leader, and says something of itself that it may change. */
import { ask, type Granting, holdOf, renew } from "./grants.ts";
import type { Campaign, Hold, Proclaim } from "./op.ts";
import { takeRoom } from "./size.ts";
import { change, type Draft } from "./state.ts";

/** `command` is the key of the command, see `commandKey`. */
export function campaign(draft: Draft, subject: string, command: string, op: Campaign): Granting {
  const { candidate, value, ttlMs, session, ask: which } = op;
  const asker = { holder: candidate, subject, mode: "exclusive", ttlMs, lockDelayMs: 0, command } as const;
  const more = {
    ...(value === undefined ? {} : { metadata: value }),
    ...(session === undefined ? {} : { session }),
    ...(which === undefined ? {} : { ask: which }),
  };
  return ask(draft, "election", { ...asker, ...more }, op.wait);
}

export function proclaim(draft: Draft, subject: string, op: Proclaim) {
  const { fence, value } = op;
  const hold = holdOf(draft, subject, fence);
  // Refused as a whole, below.
  const isRefused = hold?.session !== undefined && op.ttlMs !== undefined;
  if (hold !== undefined && !isRefused && value !== undefined && value !== hold.metadata) {
    const saying = withValue(hold, value);
    if (!takeRoom(draft, saying)) return { outcome: "too-large" } as const;
    draft.holders[draft.holders.indexOf(hold)] = saying;
    change(draft);
  }
  return renew(draft, subject, op);
}

/** With its fields in the order every hold has them. */
function withValue({ session, ask: which, by, unconfirmed, fromMs, ...hold }: Hold, value: string): Hold {
  const asked = which === undefined ? {} : { ask: which };
  return { ...hold, metadata: value, ...(session === undefined ? {} : { session }), ...asked, by, unconfirmed, fromMs };
}

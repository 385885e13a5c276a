/**
 * What must not stay: of a request that was refused, or whose caller went away, nothing may be held or queued for longer
 * than it takes to undo it, or than what nobody took up may last.
 */
import { type DecidedLog, familyOf, type HoldStory, type KeyStory } from "./decided.ts";

export type Gone = {
  /** What happened to the request, for people. */
  readonly what: string;
  readonly keys: readonly string[];
  readonly id: string;
  /** Since when nobody has a use for it. */
  readonly atMs: number;
  /** How long it may stay in each state it can be in: a place, then a grant that nobody took up. */
  readonly stayMs: number;
  /** Who asked may come back for what was confirmed: that is not left behind. */
  readonly mayComeBack?: true;
  /** How much longer what was granted after `atMs` may stay, if nobody ever confirmed it. Default 0. */
  readonly lateMs?: number;
  /** What it was told that it still has, and has been giving back since: `key fence`. */
  readonly told?: readonly string[];
};

/** A request that was answered with a grant of each of these. */
export type Together = { readonly id: string; readonly fences: readonly (readonly [key: string, fence: string])[] };

/**
 * @param fromMs nothing is asked of anybody before: until then everything fails
 * @param untilMs when it was looked at last: what may stay for longer than that is not known to stay
 */
export function leftBehind(
  log: DecidedLog,
  subject: string,
  gone: readonly Gone[],
  fromMs: number,
  untilMs = Infinity,
): readonly string[] {
  const stories = storiesOf(log, gone.flatMap(({ keys }) => keys));
  return gone.flatMap(({ what, keys, id, atMs, stayMs, mayComeBack = false, lateMs = 0, told = [] }) =>
    keys.flatMap((key) => {
      const story = stories.get(key)!;
      const family = familyOf(story, subject, id);
      const stays = (
        kind: string,
        one: { readonly command: string; readonly fromMs: number; readonly endMs: number | null },
        longerMs = 0,
      ) => {
        if (!family.has(one.command)) return [];
        const dueMs = Math.max(atMs, fromMs, one.fromMs) + stayMs + longerMs;
        if ((one.endMs ?? untilMs) <= dueMs) return [];
        const how = one.endMs === null ? "for ever" : `${(one.endMs - dueMs).toFixed(0)} ms too long`;
        return [`${key}: ${id} ${what}, and ${kind} ${how}`];
      };
      return [
        ...[...story.holds].flatMap(([fence, hold]) =>
          told.includes(`${key} ${fence}`) ||
            (mayComeBack && isConfirmedBy(hold, Math.max(atMs, fromMs) + stayMs))
            ? []
            : stays(`its fence ${fence} stayed`, hold, hold.confirmedMs === null && hold.fromMs > atMs ? lateMs : 0)
        ),
        ...story.places.flatMap((place) => stays("its place stayed", place)),
      ];
    })
  );
}

/** What nobody could be told of by then has no use for anybody. */
function isConfirmedBy({ confirmedMs }: HoldStory, dueMs: number): boolean {
  return confirmedMs !== null && confirmedMs <= dueMs;
}

/** All or none: there was a moment at which it held all of what it was told. */
export function notTogether(log: DecidedLog, all: readonly Together[]): readonly string[] {
  const stories = storiesOf(log, all.flatMap(({ fences }) => fences.map(([key]) => key)));
  return all.flatMap(({ id, fences }) => {
    const holds = fences.map(([key, fence]) => stories.get(key)!.holds.get(fence));
    if (holds.some((hold) => hold === undefined)) {
      return [`${id} was told ${fences}, and not all of that was ever held`];
    }
    const fromMs = Math.max(...holds.map((hold) => hold!.fromMs));
    const endMs = Math.min(...holds.map((hold) => hold!.endMs ?? Infinity));
    return fromMs <= endMs ? [] : [`${id} was told ${fences}, and never held all of that at once`];
  });
}

function storiesOf(log: DecidedLog, keys: readonly string[]): ReadonlyMap<string, KeyStory> {
  return new Map([...new Set(keys)].map((key) => [key, log.story(key)]));
}

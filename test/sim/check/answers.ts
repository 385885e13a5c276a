/**
 * Takes every answer at its word, once all that was decided is known: a command took effect once at most, what was told as
 * done was done and as the answer says, what was refused was not done, then or later.
 *
 * A request that is sent again without the instance it was born at is the same command only as long as the window reaches:
 * what it does beyond is its caller's own doing, and of such a command that much is allowed.
 */
import type { DecidedLog, KeyStory, Occurrence } from "./decided.ts";
import { familyOf } from "./decided.ts";

/** One request as it was sent. */
type Try = { readonly atMs: number; readonly hasBorn: boolean };
type Refused = { readonly code: string; readonly atMs: number; readonly newest: number };
type Asked = {
  readonly key: string;
  readonly tries: Try[];
  /** Numbers told with a success: revisions of writes, fences of takes. */
  readonly done: Set<string>;
  readonly refused: Refused[];
};

export class Answers {
  readonly #asked = new Map<string, Asked>();
  readonly #log: DecidedLog;
  readonly #subject: string;

  constructor(log: DecidedLog, subject: string) {
    this.#log = log;
    this.#subject = subject;
  }

  /** How often that makes. */
  tried(key: string, id: string, atMs: number, hasBorn: boolean): number {
    return this.#of(key, id).tries.push({ atMs, hasBorn });
  }

  /** @param number the revision that a write was answered with, or the fence of a take */
  done(key: string, id: string, number: string): void {
    this.#of(key, id).done.add(number);
  }

  /** For good, and that it was not done. */
  refused(key: string, id: string, code: string, atMs: number): void {
    this.#of(key, id).refused.push({ code, atMs, newest: this.#log.newest(key) });
  }

  faults(): readonly string[] {
    return this.#log.keys.flatMap((key) => this.#faultsOf(key, this.#log.story(key)));
  }

  #of(key: string, id: string): Asked {
    const name = `${key} ${id}`;
    const asked = this.#asked.get(name) ?? { key, tries: [], done: new Set(), refused: [] };
    this.#asked.set(name, asked);
    return asked;
  }

  #faultsOf(key: string, story: KeyStory): readonly string[] {
    const faults: string[] = [];
    for (const [name, occurrences] of story.commands) {
      const id = name.slice(name.indexOf(" ") + 1);
      const tries = this.#triesOf(key, id);
      for (const fault of repeats(occurrences, tries, story)) faults.push(`${key}: ${id} ${fault}`);
    }
    for (const [name, asked] of this.#asked) {
      if (asked.key !== key) continue;
      const id = name.slice(key.length + 1);
      const occurrences = story.commands.get(`${this.#subject} ${id}`) ?? [];
      const commands = familyOf(story, this.#subject, id);
      const holds = [...story.holds].filter(([, { command }]) => commands.has(command));
      for (const number of asked.done) {
        if (occurrences.some((one) => numberIn(one) === number) || holds.some(([fence]) => fence === number)) continue;
        faults.push(`${key}: ${id} was told ${number}, and no decided value says so of it`);
      }
      for (const { code, atMs, newest } of asked.refused) {
        const what = `${key}: ${id}, ${sentAs(asked.tries)}, was told ${code}`;
        for (const fault of doneAnyway(atMs, asked.tries, occurrences, story)) faults.push(`${what}, ${fault}`);
        const kept = holds.find(([, { until }]) => until > newest);
        if (kept === undefined || asked.tries.some((one) => one.atMs > atMs)) continue;
        faults.push(`${what}, and holds fence ${kept[0]} after that`);
      }
    }
    return faults;
  }

  /** A node makes commands from the caller's: these are then the caller's tries. */
  #triesOf(key: string, id: string): readonly Try[] {
    for (let own = id;;) {
      const asked = this.#asked.get(`${key} ${own}`);
      if (asked !== undefined) return asked.tries;
      const shorter = own.replace(/ ?[~!&+-]\d*$/, "");
      if (shorter === own) return [];
      own = shorter;
    }
  }
}

/** What is wrong with a command's having been decided so often. */
function repeats(occurrences: readonly Occurrence[], tries: readonly Try[], story: KeyStory): readonly string[] {
  const effects = occurrences.filter(({ isEffect }) => isEffect);
  return effects.slice(1).flatMap((again, i) => {
    const last = effects[i]!;
    const between = again.before - last.before;
    const retry = tries.slice(1).some(({ atMs, hasBorn }) => !hasBorn && atMs <= again.chosenMs);
    if (retry && isBeyond(last, again, story)) return [];
    return [
      `took effect in ${last.instance} and again in ${again.instance}, ${between} commands later; it was ${
        sentAs(tries)
      }`,
    ];
  });
}

function sentAs(tries: readonly Try[]): string {
  if (tries.length === 0) return "a node's own";
  const born = tries.filter(({ hasBorn }) => hasBorn).length;
  return `${tries.length === 1 ? "sent once" : "sent again"} ${
    born === tries.length ? "with its born" : born === 0 ? "without born" : "with its born at last"
  }`;
}

function numberIn({ result }: Occurrence): string | undefined {
  if ("revision" in result) return result.revision;
  return "fence" in result ? result.fence : undefined;
}

/** A write that was refused was not done, unless it was another try that did it beyond the window, and is never after. */
function doneAnyway(
  atMs: number,
  tries: readonly Try[],
  occurrences: readonly Occurrence[],
  story: KeyStory,
): readonly string[] {
  const effects = occurrences.filter(({ isEffect, type }) => isEffect && WRITES.has(type));
  const isExact = tries.length === 1 || tries.every(({ hasBorn }) => hasBorn);
  return effects.flatMap((effect) => {
    const { instance, chosenMs } = effect;
    const isAfter = chosenMs > atMs;
    const isAgain = !isAfter || tries.some((one) => !one.hasBorn && one.atMs >= atMs && one.atMs <= chosenMs);
    const others = occurrences.filter((one) => one !== effect && !one.isEffect);
    if (!isExact && isAgain && others.some((other) => isBeyond(other, effect, story))) return [];
    return [isAfter ? `and took effect after that, in ${instance}` : `and had taken effect in ${instance}`];
  });
}

/** Whether the window may not have had the one any more when the other was decided. */
function isBeyond(one: Occurrence, other: Occurrence, { reach, forgets }: KeyStory): boolean {
  const [from, to] = [Math.min(one.instance, other.instance), Math.max(one.instance, other.instance)];
  return Math.abs(one.before - other.before) > reach || forgets.some((at) => at > from && at <= to);
}

const WRITES: ReadonlySet<string> = new Set(["put", "delete"]);

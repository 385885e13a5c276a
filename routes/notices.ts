/** What an operator is told of clients that are kept short: in a line at once, and then one a minute at most. */
import { Seldom } from "../src/observe/seldom.ts";
import type { Report } from "../src/ports.ts";

export type Notices = {
  /** A request of this subject was refused by the rate limit. */
  limited(subject: string): void;
  /** A stream was cut off. */
  cut(): void;
};

/** @param counters count each of them */
export function noticesOf(
  now: () => number,
  tell: Report,
  counters: { limited(): void; cut(): void } = { limited: () => {}, cut: () => {} },
): Notices {
  let last = "";
  const limited = new Seldom(
    now,
    (count) =>
      tell(`the rate limit is in force: ${count} requests refused since it was last said, the last of ${last}`, {
        event: "rate-limit",
        level: "warn",
        facts: { count, subject: last },
      }),
  );
  const cut = new Seldom(
    now,
    (count) =>
      tell(`${count} streams cut off since it was last said: their readers fell behind`, {
        event: "stream-cut",
        level: "warn",
        facts: { count },
      }),
  );
  return {
    limited(subject) {
      last = subject;
      counters.limited();
      limited.note();
    },
    cut() {
      counters.cut();
      cut.note();
    },
  };
}

/** The operator's log: the one place that makes lines of what a process tells, as text for people or as JSON. */
import type { About, Level, Report } from "../ports.ts";

export const LOG_FORMATS = ["text", "json"] as const;
export const LOG_LEVELS: readonly Level[] = ["debug", "info", "warn", "error"];

export type LogSettings = { readonly format: (typeof LOG_FORMATS)[number]; readonly level: Level };

export type LogOptions = LogSettings & {
  /** Who speaks, before each line of text, as in `node a`; empty: nobody in particular. */
  readonly who: string;
  /** In every line of JSON, as `{node: "a"}`. */
  readonly facts: Readonly<Record<string, string>>;
  /** In ms since 1970. */
  readonly wall: () => number;
  readonly out: (line: string) => void;
  readonly err: (line: string) => void;
};

export type Log = {
  /** What changed. */
  readonly report: Report;
  /** How the process itself does: where it listens, that it is ready. As text on standard output. */
  readonly say: Report;
};

export function createLog({ format, level: least, who, facts, wall, out, err }: LogOptions): Log {
  const tell = (line: string, about: About, text: string, write: (line: string) => void) => {
    const { event, level = "info", names = [] } = about;
    if (LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf(least)) return;
    const isShown = least === "debug";
    const shown = (said: string) => isShown ? said : withoutNames(said, names);
    if (format === "text") return write(shown(text));
    const more = { ...facts, ...about.facts, ...(isShown && names.length > 0 ? { names } : {}) };
    // One stream: whoever gathers lines keeps them in order.
    out(JSON.stringify({ ts: new Date(wall()).toISOString(), level, msg: shown(line), event, ...more }));
  };
  return {
    report: (line, about = { event: "other" }) => tell(line, about, who === "" ? line : `${who}: ${line}`, err),
    say: (line, about = { event: "other" }) => tell(line, about, who === "" ? line : `${who} ${line}`, out),
  };
}

/** What a name begins with tells whose it is, and nothing of it: the noun of a key, the collection of a path. */
const STEM = /^(?:\/v1\/[a-z]+\/|[a-z]+\/)/;

/** With nothing left of each name but what kind of thing it is of, also where the line quotes it. */
function withoutNames(line: string, names: readonly string[]): string {
  return names.reduce((rest, name) => {
    const hidden = `${STEM.exec(name)?.[0] ?? ""}…`;
    return rest.replaceAll(JSON.stringify(name).slice(1, -1), () => hidden).replaceAll(name, () => hidden);
  }, line);
}

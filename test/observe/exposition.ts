/** Prometheus' text form, read strictly: whoever scrapes it must be able to. */
import { assert, assertEquals } from "@std/assert";

export type Scraped = {
  readonly families: ReadonlyMap<string, { readonly kind: string; readonly help: string }>;
  /** By name and labels as they are written. */
  readonly samples: ReadonlyMap<string, number>;
};

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const LABEL = `${NAME}="(?:[^"\\\\\\n]|\\\\["\\\\n])*"`;
const SAMPLE = new RegExp(`^(${NAME})(\\{${LABEL}(?:,${LABEL})*\\})? (\\S+)$`);

/** Fails where a line, the order of lines or a histogram is not as the form wants it. */
export function scraped(text: string): Scraped {
  assert(text.endsWith("\n"), "the last line ends");
  const families = new Map<string, { kind: string; help: string }>();
  const samples = new Map<string, number>();
  let current = "";
  let help: [string, string] | null = null;
  for (const line of text.slice(0, -1).split("\n")) {
    const [, helped, words] = /^# HELP (\S+) (.+)$/.exec(line) ?? [];
    if (helped !== undefined) {
      help = [helped, words!];
      continue;
    }
    const [, typed, kind] = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line) ?? [];
    if (typed !== undefined) {
      assertEquals(help?.[0], typed, "HELP stands before TYPE");
      assert(!families.has(typed), `${typed} comes once`);
      families.set(typed, { kind: kind!, help: help![1] });
      current = typed;
      continue;
    }
    const [, name, labels = "", value] = SAMPLE.exec(line) ?? [];
    assert(name !== undefined, `no sample: ${line}`);
    const family = families.get(current)!;
    const names = family.kind === "histogram" ? ["_bucket", "_sum", "_count"].map((end) => current + end) : [current];
    assert(names.includes(name), `${name} stands below ${current}`);
    const number = Number(value);
    assert(Number.isFinite(number), line);
    if (family.kind !== "gauge") assert(number >= 0, line);
    assert(!samples.has(name + labels), `${name}${labels} comes once`);
    samples.set(name + labels, number);
  }
  for (const [name, { kind }] of families) if (kind === "histogram") checkHistogram(name, samples);
  return { families, samples };
}

function checkHistogram(name: string, samples: ReadonlyMap<string, number>): void {
  const counts = new Map<string, number[]>();
  for (const [sample, value] of samples) {
    if (!sample.startsWith(`${name}_bucket{`)) continue;
    const rest = sample.replace(/,?le="[^"]*"/, "").replace(`${name}_bucket`, "").replace("{}", "");
    counts.set(rest, [...counts.get(rest) ?? [], value]);
  }
  for (const [labels, values] of counts) {
    assertEquals(values, values.toSorted((a, b) => a - b), `${name}${labels} is cumulative`);
    assertEquals(samples.get(`${name}_count${labels}`), values.at(-1), `${name}${labels} counts what it holds`);
    assert(samples.has(`${name}_sum${labels}`), `${name}${labels} has a sum`);
  }
}

/** The sum of all samples of a name that have all of these labels. */
export function sumOf({ samples }: Scraped, name: string, ...labels: readonly string[]): number {
  let sum = 0;
  for (const [sample, value] of samples) {
    const isOf = sample === name || sample.startsWith(`${name}{`);
    if (isOf && labels.every((label) => sample.includes(label))) sum += value;
  }
  return sum;
}

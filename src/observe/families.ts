/**
 * Counters, gauges and histograms, and Prometheus' text form of them (version 0.0.4). Made here and not by a library, as what
 * is left of the usual one without its defaults is this: it looks labels up as objects at each count, and brings OpenTelemetry
 * and a digest that nothing here uses.
 */

/** Buckets in seconds, from a round trip in one rack to a wait that nobody waits out. */
export const SECONDS: readonly number[] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

type Kind = "counter" | "gauge" | "histogram";
export type Family = { readonly name: string; text(): string };

/** Values that one family was given for its labels, at most; what comes after is not counted. Those in use are far fewer. */
const SERIES_MAX = 5_000;

abstract class Labelled<C> implements Family {
  readonly name: string;
  readonly #help: string;
  readonly #kind: Kind;
  readonly #labels: readonly string[];
  protected readonly cells = new Map<string, { readonly labels: string; readonly cell: C }>();

  constructor(kind: Kind, name: string, help: string, labels: readonly string[]) {
    this.#kind = kind;
    this.name = name;
    this.#help = help;
    this.#labels = labels;
  }

  protected cell(values: readonly string[], make: () => C): C {
    // No label holds a control character: they are nouns, codes, routes and ids of nodes.
    const key = values.length === 1 ? values[0]! : values.join("\n");
    const known = this.cells.get(key);
    if (known !== undefined) return known.cell;
    const labels = this.#labels.map((label, i) => `${label}="${escaped(values[i] ?? "")}"`).join(",");
    const cell = make();
    if (this.cells.size < SERIES_MAX) this.cells.set(key, { labels, cell });
    return cell;
  }

  text(): string {
    const head = `# HELP ${this.name} ${this.#help}\n# TYPE ${this.name} ${this.#kind}\n`;
    return head + [...this.cells.values()].map(({ labels, cell }) => this.series(labels, cell)).join("");
  }

  protected abstract series(labels: string, cell: C): string;
}

type Sum = { value: number };

export class Counter extends Labelled<Sum> {
  /** Without labels it is there from the start, at 0. */
  constructor(name: string, help: string, labels: readonly string[] = []) {
    super("counter", name, help, labels);
    if (labels.length === 0) this.add(0);
  }

  add(count: number, ...values: readonly string[]): void {
    this.cell(values, zero).value += count;
  }

  protected series(labels: string, { value }: Sum): string {
    return line(this.name, labels, value);
  }
}

/** What is so now: set anew for each time it is read. */
export class Gauge extends Labelled<Sum> {
  constructor(name: string, help: string, labels: readonly string[] = []) {
    super("gauge", name, help, labels);
  }

  set(value: number, ...values: readonly string[]): void {
    this.cell(values, zero).value = value;
  }

  /** For what is not there any more. */
  clear(): void {
    this.cells.clear();
  }

  protected series(labels: string, { value }: Sum): string {
    return line(this.name, labels, value);
  }
}

type Spread = { readonly counts: number[]; sum: number };

export class Histogram extends Labelled<Spread> {
  readonly #bounds: readonly number[];

  /** @param bounds upper ends of its buckets, ascending */
  constructor(name: string, help: string, labels: readonly string[], bounds: readonly number[]) {
    super("histogram", name, help, labels);
    this.#bounds = bounds;
    if (labels.length === 0) this.cell([], this.#empty);
  }

  observe(value: number, ...values: readonly string[]): void {
    const cell = this.cell(values, this.#empty);
    const bounds = this.#bounds;
    let at = 0;
    while (at < bounds.length && value > bounds[at]!) at++;
    cell.counts[at]!++;
    cell.sum += value;
  }

  readonly #empty = (): Spread => ({ counts: Array<number>(this.#bounds.length + 1).fill(0), sum: 0 });

  protected series(labels: string, { counts, sum }: Spread): string {
    let count = 0;
    const buckets = counts.map((some, i) => {
      count += some;
      const le = `le="${this.#bounds[i] ?? "+Inf"}"`;
      return line(`${this.name}_bucket`, labels === "" ? le : `${labels},${le}`, count);
    });
    return buckets.join("") + line(`${this.name}_sum`, labels, sum) + line(`${this.name}_count`, labels, count);
  }
}

function zero(): Sum {
  return { value: 0 };
}

function line(name: string, labels: string, value: number): string {
  return labels === "" ? `${name} ${value}\n` : `${name}{${labels}} ${value}\n`;
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}

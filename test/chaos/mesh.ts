/** The links between all nodes of a cluster, one proxy per directed pair. */
import { Link, type LinkCounts, type LinkFaults, type LinkState, NO_FAULTS } from "./proxy.ts";

export type Pair = readonly [from: string, to: string];

export class Mesh {
  readonly #links = new Map<string, Link>();

  /** @param urls of the nodes themselves, by id */
  constructor(urls: ReadonlyMap<string, string>, seed: number) {
    for (const from of urls.keys()) {
      for (const [to, url] of urls) {
        if (from !== to) this.#links.set(nameOf([from, to]), new Link(url, seed + this.#links.size));
      }
    }
  }

  link(pair: Pair): Link {
    const link = this.#links.get(nameOf(pair));
    if (link === undefined) throw new Error(`no link ${nameOf(pair)}`);
    return link;
  }

  set(pairs: readonly Pair[], state: LinkState): void {
    for (const pair of pairs) this.link(pair).state = state;
  }

  setFaults(faults: LinkFaults): void {
    for (const link of this.#links.values()) link.faults = faults;
  }

  heal(): void {
    this.setFaults(NO_FAULTS);
    for (const link of this.#links.values()) link.state = "open";
  }

  counts(): LinkCounts {
    const sum: LinkCounts = { carried: 0, lostRequests: 0, lostResponses: 0, delayed: 0, repeated: 0 };
    for (const { counts } of this.#links.values()) {
      for (const name of Object.keys(sum) as (keyof LinkCounts)[]) sum[name] += counts[name];
    }
    return sum;
  }

  close(): void {
    for (const link of this.#links.values()) link.close();
  }
}

function nameOf([from, to]: Pair): string {
  return `${from}>${to}`;
}

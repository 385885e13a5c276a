/** The epoch that this process is in, and its way into others: one step after the other, each durable before the next. */
import type { NodeId } from "../paxos/ballot.ts";
import type { EpochConfig, EpochsRow, Report } from "../ports.ts";
import { urlsIn } from "./beginning.ts";
import { type Known, mayBegin, newsIn, OTHER_ORIGIN } from "./news.ts";

export type EpochsParts = {
  readonly id: NodeId;
  readonly cluster: string;
  /** Null: this node waits to be made a member. */
  readonly known: Known | null;
  /**
   * Ends the node of the epoch before, seals it, and begins one of the new epoch on the same store; of a node that waits, makes
   * its store the member's. Rejects only if that can never be.
   */
  readonly enter: (row: EpochsRow) => Promise<void>;
  /** Writes that the epoch before is retired. Rejects with StoreError. */
  readonly retire: (row: EpochsRow) => Promise<void>;
  /** Which store of the member this node has on record, by its incarnation; null: none. */
  readonly lifeOf: (id: NodeId) => Promise<string | null>;
  /** Whether its store belongs to nobody: then it can write nothing of epochs, unless it waits. */
  readonly isNobodys: () => boolean;
  readonly report: Report;
};

export class Epochs {
  readonly #parts: EpochsParts;
  #known: Known | null;
  #going: Promise<void> = Promise.resolve();
  #told = "";
  #onNews = () => {};

  constructor(parts: EpochsParts) {
    this.#parts = parts;
    this.#known = parts.known;
  }

  /** Null: this node waits to be made a member. */
  get known(): Known | null {
    return this.#known;
  }

  get row(): EpochsRow | null {
    return this.#known?.row ?? null;
  }

  /** Everybody whom this node may have to tell, or to ask, by id. */
  get urls(): Readonly<Record<NodeId, string>> {
    return this.#known === null ? {} : urlsIn(this.#known);
  }

  /** One listener; called after each step. */
  onNews(listener: () => void): void {
    this.#onNews = listener;
  }

  /** Resolves once this node is where what it was told takes it; rejects with StoreError if it cannot be written now. */
  hear(row: EpochsRow | null, from: NodeId): Promise<void> {
    if (row === null) return Promise.resolve();
    const taken = this.#going.then(() => this.#take(row, from));
    this.#going = taken.catch(() => {});
    return taken;
  }

  /** Resolves once what this node has heard so far is done or has failed. */
  settled(): Promise<void> {
    return this.#going;
  }

  async #take(row: EpochsRow, from: NodeId): Promise<void> {
    const known = this.#known;
    if (known === null) return await this.#join(row);
    const news = newsIn(known, row);
    switch (news.type) {
      case "none":
        return;
      case "contradiction":
        return this.#tellOnce(`what ${from} says of the cluster's members is not taken: ${news.what}`);
      case "retired": {
        const retired = { ...known.row!, first: news.first };
        await this.#parts.retire(retired);
        this.#known = { current: known.current, row: retired };
        this.#parts.report(`all names of epoch ${row.before.epoch} have moved: its members are not needed any more`, {
          event: "epoch",
          facts: { epoch: row.current.epoch, retired: row.before.epoch },
        });
        return this.#onNews();
      }
      case "next":
        if (this.#parts.isNobodys()) {
          const { epoch, members } = news.row.current;
          const ids = members.map((member) => member.id).join(", ");
          return this.#tellOnce(
            `this store is nobody's, and takes no part in epoch ${epoch}, whose members are ${ids}`,
          );
        }
        if (await this.#isOther(known.current, news.row.current)) {
          return this.#tellOnce(`what ${from} says of the cluster's members is not taken: ${OTHER_ORIGIN}`);
        }
        await this.#enter(news.row);
    }
  }

  /** Who is in epoch 0 has met the stores that its cluster began with, or some of them. */
  async #isOther(current: EpochConfig, { origin }: EpochConfig): Promise<boolean> {
    if (current.epoch > 0 || origin === undefined) return false;
    const lives = await Promise.all(origin.map(async ({ id }) => [id, await this.#parts.lifeOf(id)] as const));
    return !mayBegin(origin, new Map(lives.flatMap(([id, life]) => life === null ? [] : [[id, life] as const])));
  }

  async #join(row: EpochsRow): Promise<void> {
    const { id, cluster } = this.#parts;
    const isIn = ({ members }: EpochConfig) => members.some((member) => member.id === id);
    if (row.current.cluster !== cluster || !isIn(row.current)) return;
    // Its first store has voted, and those who knew that need not be members any more.
    if (isIn(row.before)) {
      return this.#tellOnce(`${id} is a member already, with another store: a new one needs an id that was never used`);
    }
    await this.#enter(row);
  }

  #tellOnce(line: string): void {
    if (line !== this.#told) this.#parts.report(line, { event: "epoch", level: "error" });
    this.#told = line;
  }

  async #enter(row: EpochsRow): Promise<void> {
    const { current } = row;
    await this.#parts.enter(row);
    this.#known = { current, row };
    this.#parts.report(`epoch ${current.epoch}: the members are ${current.members.map(({ id }) => id).join(", ")}`, {
      event: "epoch",
      facts: { epoch: current.epoch },
    });
    this.#onNews();
  }
}

/**
 * What other processes that serve the same shared store have done to its records is noticed by looking: a Learn goes to any
 * one of them, and the database's own watch is not relied on. Only what somebody here waits for or watches is looked at.
 */
import type { AcceptorHost } from "./acceptor_host.ts";
import type { BallotStore } from "../ports.ts";
import { lookAtAll, ownKeys, Poller, type PollerParts, type Target } from "./poller.ts";

type TwinParts = PollerParts & { readonly acceptor: AcceptorHost; readonly store: BallotStore };

/** Where one name is waited for or watched. */
const NAMES_EVERY_MS = 150;
/** Where all names of a prefix are watched. */
const PREFIXES_EVERY_MS = 2_000;
const PAGE = 256;

export class SharedStorePoller {
  readonly #parts: TwinParts;
  readonly #names: Poller;
  readonly #prefixes: Poller;

  /** @param watched what is watched, besides what is listened to */
  constructor(parts: TwinParts, watched: () => readonly Target[]) {
    const { acceptor, store } = parts;
    this.#parts = parts;
    const names = () => [
      ...acceptor.listened.map((key) => ({ key })),
      ...watched().filter((target) => "key" in target),
    ];
    const prefixes = () => watched().filter((target) => "prefix" in target);
    const look = (isNews: boolean) => (key: string) => acceptor.look(key, isNews).catch(() => {});
    this.#names = new Poller(parts, NAMES_EVERY_MS, names, look(false), ownKeys(store));
    this.#prefixes = new Poller(parts, PREFIXES_EVERY_MS, prefixes, look(true), ownKeys(store));
  }

  /** Goes on by itself until nothing is listened to or watched. */
  start(): void {
    this.#names.start();
    this.#prefixes.start();
  }

  stop(): void {
    this.#names.stop();
    this.#prefixes.stop();
  }

  /** Looks at every key that begins so: what is found later and was not there is then known to be new. */
  async meet(prefix: string): Promise<void> {
    const { acceptor } = this.#parts;
    let after = "";
    for (;;) {
      const keys = await acceptor.keys(prefix, after, PAGE);
      await lookAtAll(keys, (key) => acceptor.look(key, false));
      if (keys.length < PAGE) return;
      after = keys.at(-1)!;
    }
  }
}

/**
 * What is decided of epochs: registers under keys that no user can name, written once (PROTOCOL.md §9). Members of e decide
 * e+1; members of e+1 decide that e is retired.
 */
import { KEY_PREFIXES, RESERVED_PREFIX } from "../nouns.ts";
import type { State } from "../paxos/message.ts";
import type { EpochConfig } from "../ports.ts";
import type { Reader } from "../replica/reader.ts";
import type { SubmitterParts } from "../replica/submitter.ts";
import type { Submitters } from "../replica/submitters.ts";
import { textIn, writeOnce } from "../replica/written_once.ts";
import { epochText, parseEpoch } from "./epoch_config.ts";

/** Those of all keys there are: members list keys by prefix. */
export const PREFIXES: readonly string[] = [RESERVED_PREFIX, ...Object.values(KEY_PREFIXES)];

export function epochKey(epoch: number): string {
  return `${RESERVED_PREFIX}epoch/${epoch}`;
}

export function retiredKey(epoch: number): string {
  return `${RESERVED_PREFIX}retired/${epoch}`;
}

type Parts = Pick<SubmitterParts, "acceptor" | "random" | "epoch"> & {
  readonly submitters: Submitters;
  readonly reader: Reader;
};

export class ReservedKeys {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Calls back whenever this node learns that the next epoch is decided. Until the returned function is called. */
  onNext(decided: (config: EpochConfig) => void): () => void {
    const { acceptor, epoch } = this.#parts;
    return acceptor.onMove(epochKey(epoch + 1), (_key, { state }) => {
      const config = configIn(state);
      if (config !== null) decided(config);
    });
  }

  /** The next epoch, if it is decided; else null. Rejects with `no-quorum`. */
  async next(timeoutMs: number): Promise<EpochConfig | null> {
    const { reader, epoch } = this.#parts;
    return configIn((await reader.read(epochKey(epoch + 1), timeoutMs)).state);
  }

  /** What the next epoch is from now on: this one, or the one that was decided before. Rejects as any write of a register. */
  async decideNext(config: EpochConfig, timeoutMs: number): Promise<EpochConfig> {
    const found = await this.#create(epochKey(config.epoch), epochText(config), timeoutMs);
    return parseEpoch(found);
  }

  /** The first instance of names without a record, if the epoch before is retired; else null. Rejects with `no-quorum`. */
  async retired(timeoutMs: number): Promise<number | null> {
    const { reader, epoch } = this.#parts;
    const found = textIn((await reader.read(retiredKey(epoch - 1), timeoutMs)).state);
    return found === null ? null : firstOf(found);
  }

  /** The same, decided now unless it was before. Every name of the epoch before has to have a record at a quorum. */
  async retire(first: number, timeoutMs: number): Promise<number> {
    return firstOf(await this.#create(retiredKey(this.#parts.epoch - 1), JSON.stringify({ first }), timeoutMs));
  }

  #create(key: string, text: string, timeoutMs: number): Promise<string> {
    const { submitters, random } = this.#parts;
    return writeOnce(submitters, { key, id: random.id(), text, timeoutMs });
  }
}

function configIn(state: State): EpochConfig | null {
  const found = textIn(state);
  return found === null ? null : parseEpoch(found);
}

function firstOf(value: string): number {
  return (JSON.parse(value) as { readonly first: number }).first;
}

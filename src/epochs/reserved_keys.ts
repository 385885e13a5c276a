/**
 * What is decided of epochs: registers under keys that no user can name, written once (PROTOCOL.md §9). Members of e decide
 * e+1; members of e+1 decide that e is retired.
 */
import { Buffer } from "node:buffer";
import { QuorateError } from "../errors.ts";
import { KEY_PREFIXES } from "../nouns.ts";
import { viewRegister } from "../machine/view.ts";
import type { State } from "../paxos/message.ts";
import type { EpochConfig } from "../ports.ts";
import type { Reader } from "../replica/reader.ts";
import type { SubmitterParts } from "../replica/submitter.ts";
import type { Submitters } from "../replica/submitters.ts";
import { epochText, parseEpoch } from "./epoch_config.ts";

const PREFIX = "cluster/";
/** Those of all keys there are: members list keys by prefix. */
export const PREFIXES: readonly string[] = [PREFIX, ...Object.values(KEY_PREFIXES)];
const CONTENT_TYPE = "application/json";
const SUBJECT = "cluster";

export function epochKey(epoch: number): string {
  return `${PREFIX}epoch/${epoch}`;
}

export function retiredKey(epoch: number): string {
  return `${PREFIX}retired/${epoch}`;
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

  /** The value that the register has, which never changes. */
  async #create(key: string, value: string, timeoutMs: number): Promise<string> {
    const { submitters, random } = this.#parts;
    const bytes = Buffer.from(value).toString("base64");
    const op = { type: "put", bytes, contentType: CONTENT_TYPE, ifNoneMatch: ["*"] } as const;
    const { result, state } = await submitters.submit(key, { subject: SUBJECT, id: random.id(), op, timeoutMs });
    const found = textIn(state);
    if (found === null || (result.outcome !== "written" && result.outcome !== "precondition-failed")) {
      throw new QuorateError("internal", `${key} came to ${result.outcome}`);
    }
    return found;
  }
}

function configIn(state: State): EpochConfig | null {
  const found = textIn(state);
  return found === null ? null : parseEpoch(found);
}

function textIn(state: State): string | null {
  const { value } = viewRegister(state);
  return value === null ? null : Buffer.from(value.bytes, "base64").toString();
}

function firstOf(value: string): number {
  return (JSON.parse(value) as { readonly first: number }).first;
}

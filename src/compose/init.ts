/** How a store becomes its member's, and what is said where it cannot be used. */
import type { NodeConfig } from "../config/config.ts";
import { QuorateError } from "../errors.ts";
import type { NodeId } from "../paxos/ballot.ts";
import { type BallotStore, type EpochsRow, type Report, StoreError, type Transport } from "../ports.ts";
import { knownLife, type Membership, strangerIn } from "../replica/vote_gate.ts";
import type { ReplicaNode } from "./node.ts";
import { mustLast } from "./open_store.ts";
import { realRandomness } from "./world.ts";

/** Rejects with QuorateError `invalid-request` where a second life of the member could vote twice, with StoreError for a store that cannot be its. */
export async function initialise(
  config: NodeConfig,
  { id, cluster, config: text }: Membership,
  witnesses: readonly NodeId[],
  store: BallotStore,
  transport: Transport,
): Promise<void> {
  if (store.identity() !== null) {
    throw new QuorateError("invalid-request", `this store is ${store.identity()!.id}'s already: start without --init`);
  }
  // As a restore leaves it that was cut off: without the backup's floor its other names would begin at the first fence again.
  if (config.restore === null && (await store.keys("", "", 1)).length > 0) {
    throw new StoreError(
      "this store has records and is nobody's, as after a restore that was cut off: delete it first",
    );
  }
  await mustLast(config);
  const witness = await knownLife(transport, witnesses, id);
  if (witness !== null) {
    throw new QuorateError(
      "invalid-request",
      `${witness} has another store of member ${id} on record: a second life of it could vote twice`,
    );
  }
  await store.init({ cluster, id, incarnation: realRandomness.id(), config: text ?? "" });
}

/** The store of a node that waited, which has nothing in it, becomes that of a member of this epoch. */
export async function join(store: BallotStore, id: NodeId, config: string, row: EpochsRow): Promise<void> {
  await store.init({ cluster: row.current.cluster, id, incarnation: realRandomness.id(), config }, row);
}

/** Rejects with QuorateError or StoreError unless this store is nobody's and may become a file of a member that joins. */
export async function mayJoin(store: BallotStore): Promise<void> {
  if (store.isShared) {
    throw new QuorateError(
      "invalid-request",
      "--join takes a file: only members with a file of their own can be changed",
      {
        field: "--join",
      },
    );
  }
  if ((await store.keys("", "", 1)).length > 0) {
    throw new StoreError("this store has records and is nobody's: delete it");
  }
}

/** Where no operator is at hand to start a node once with --init. */
export async function initByRequest(
  store: BallotStore,
  init: () => Promise<void>,
  then: () => unknown,
  report: Report,
): Promise<void> {
  // Such a node begins with what its store was when it opened it.
  if (!store.isShared) {
    throw new QuorateError("invalid-request", "this store is a file of the node: start it with --init");
  }
  try {
    await init();
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    report(`the store could not be made a member's: ${error.message}`, STORE_FAILED);
    throw new QuorateError("not-ready", faultOf(error));
  }
  then();
}

const STORE_FAILED = { event: "store", level: "error", facts: { failing: true } } as const;

/** Resolves when the node may vote, or never will, with this store. */
export async function begin(node: ReplicaNode, report: Report): Promise<void> {
  await node.start().catch((error: Error) => report(`the store cannot be used: ${error.message}`, STORE_FAILED));
}

/** For anybody: where a store is, its message says, and that is for the operator. */
export function faultOf({ fault }: StoreError): string {
  return fault ?? "the store of this node cannot be used; its log has the reason";
}

export function mustBelong(member: Membership, store: BallotStore): void {
  const stranger = strangerIn(store, member);
  if (stranger !== null) throw new QuorateError("invalid-request", stranger);
}

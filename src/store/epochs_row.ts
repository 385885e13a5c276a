/** What a store says of epochs (PROTOCOL.md §9): a row of its own, beside a meta row that versions without epochs refuse. */
import { type EpochConfig, type EpochsRow, type KeptEpochs, StoreError } from "../ports.ts";
import { decodeRow, encodeRow } from "./rows.ts";

const WHAT = "row of epochs";

export function encodeEpochs(row: KeptEpochs): Uint8Array {
  return encodeRow(row, WHAT);
}

/** Null: no row. Throws StoreError if it is damaged. */
export function decodeEpochs(value: unknown): KeptEpochs | null {
  if (value === null) return null;
  const row = decodeRow(value, WHAT) as Readonly<Record<keyof KeptEpochs, unknown>>;
  const isWhole = isConfig(row.before) && isConfig(row.current) && row.current.epoch > row.before.epoch &&
    isInstance(row.beforeFirst) && (row.first === null || isInstance(row.first)) &&
    (row.arrived === undefined || (row.arrived === true && row.first !== null));
  if (!isWhole) throw new StoreError(`the ${WHAT} is damaged`);
  return row as KeptEpochs;
}

/** Throws StoreError if `row` does not go on from what is known; null: nothing is, as in the first epoch or before any. */
export function assertFollows(known: EpochsRow | null, row: EpochsRow): void {
  const { before, current, beforeFirst, first } = row;
  const says = (what: string) => new StoreError(`epoch ${current.epoch} does not follow: ${what}`);
  if (current.epoch !== before.epoch + 1) throw says(`it names ${before.epoch} as the one before`);
  if (known === null) return;
  const { current: inForce } = known;
  if (current.epoch < inForce.epoch) throw says(`epoch ${inForce.epoch} is in force`);
  if (current.epoch === inForce.epoch) {
    const isSame = same(before, known.before) && same(current, inForce) && beforeFirst === known.beforeFirst;
    if (!isSame) throw says("this epoch has other members here");
    if (known.first !== null && known.first !== first) throw says(`its first instance is ${known.first}`);
  } else if (current.epoch === inForce.epoch + 1) {
    if (!same(before, inForce)) throw says(`epoch ${before.epoch} has other members here`);
    if (known.first !== null && known.first !== beforeFirst) throw says(`${before.epoch} begins at ${known.first}`);
  }
}

function isConfig(value: unknown): value is EpochConfig {
  const { cluster, epoch, members, modes } = (value ?? {}) as Partial<Record<keyof EpochConfig, unknown>>;
  return typeof cluster === "string" && Number.isSafeInteger(epoch) && Array.isArray(modes) &&
    Array.isArray(members) && members.length > 0 &&
    members.every((one) => typeof one?.id === "string" && typeof one.url === "string");
}

function isInstance(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}

/** As JSON, with the fields in the order in which they came. */
function same(a: EpochConfig, b: EpochConfig): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

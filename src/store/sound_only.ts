/** Updates of records that are sound, for stores whose every step is shown what is wrong. */
import { DamagedRecord, type Found, type StepResult, type StoredRecord } from "../ports.ts";

export function soundOnly<R>(step: (record: StoredRecord | null) => StepResult<R>): (found: Found) => StepResult<R> {
  return ({ record, damage }) => {
    if (damage !== null) throw new DamagedRecord(damage);
    return step(record);
  };
}

/**
 * What locks are for: a thing that several holders change by reading, thinking and writing. With the guard it takes the
 * fence with every access and refuses one below the highest it saw; without, it believes whoever comes.
 */

export type Write = { readonly key: string; readonly fence: string; readonly base: number };

type Cell = { value: number; highest: bigint };

export class Resource {
  readonly writes: Write[] = [];
  refused = 0;
  readonly #guarded: boolean;
  readonly #cells = new Map<string, Cell>();

  constructor({ guarded }: { guarded: boolean }) {
    this.#guarded = guarded;
  }

  /** The value, or null if the fence is too low. A read counts: what is based on an older one must not follow it. */
  read(key: string, fence: string): number | null {
    const cell = this.#enter(key, fence);
    return cell === null ? null : cell.value;
  }

  /** Sets `base` + 1; false if the fence is too low. */
  write(key: string, fence: string, base: number): boolean {
    const cell = this.#enter(key, fence);
    if (cell === null) return false;
    cell.value = base + 1;
    this.writes.push({ key, fence, base });
    return true;
  }

  /** The highest fence it saw. */
  highest(key: string): bigint {
    return this.#cells.get(key)?.highest ?? 0n;
  }

  #enter(key: string, fence: string): Cell | null {
    const cell = this.#cells.get(key) ?? { value: 0, highest: 0n };
    this.#cells.set(key, cell);
    if (this.#guarded && BigInt(fence) < cell.highest) {
      this.refused++;
      return null;
    }
    if (BigInt(fence) > cell.highest) cell.highest = BigInt(fence);
    return cell;
  }
}

/** Writes that were accepted though they rest on a value that was no longer there: each undoes another's. */
export function lostUpdates(writes: readonly Write[]): string[] {
  const values = new Map<string, number>();
  return writes.flatMap(({ key, fence, base }) => {
    const value = values.get(key) ?? 0;
    values.set(key, base + 1);
    return base === value ? [] : [`${key}: fence ${fence} wrote ${base + 1} over ${value}`];
  });
}

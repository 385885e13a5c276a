/** Sizes of quorums, written down from the table of PROTOCOL.md §2 and not computed, so that a checker owes nothing to the code. */
export type QuorumRow = { readonly classic: number; readonly open: number; readonly inclusive: number };

/** By the number of members; two are refused. */
const QUORUMS: Readonly<Record<number, QuorumRow>> = {
  1: { classic: 1, open: 1, inclusive: 1 },
  3: { classic: 2, open: 3, inclusive: 2 },
  4: { classic: 3, open: 3, inclusive: 3 },
  5: { classic: 3, open: 4, inclusive: 3 },
  6: { classic: 4, open: 5, inclusive: 4 },
  7: { classic: 4, open: 6, inclusive: 5 },
  8: { classic: 5, open: 6, inclusive: 5 },
  9: { classic: 5, open: 7, inclusive: 6 },
};

export function quorumRow(members: number): QuorumRow {
  const row = QUORUMS[members];
  if (row === undefined) throw new Error(`no cluster has ${members} members`);
  return row;
}

/** Marks of peers where many processes note them: each in the row of the key whose commit they ride in (PROTOCOL.md §9). */
import type { NodeId } from "../paxos/ballot.ts";
import type { Mark } from "../ports.ts";
import { isHigher } from "./marks.ts";
import { decodeMarks } from "./rows.ts";

type ByPeer = Readonly<Record<NodeId, Mark>>;

/** The row with what is news to it; null if nothing is. What it says of a first life of a member is evidence, and stays. */
export function withNews(row: ByPeer, heard: ByPeer): ByPeer | null {
  const news = Object.entries(heard).filter(([peer, mark]) => {
    const known = row[peer];
    return known === undefined || (known.incarnation === mark.incarnation && isHigher(mark, known));
  });
  return news.length === 0 ? null : { ...row, ...Object.fromEntries(news) };
}

/** The highest of what the rows and this process have of a peer; of two lives of it, what is on disk. */
export function recalled(rows: readonly unknown[], heard: ByPeer, peer: NodeId): Mark | null {
  let highest: Mark | null = null;
  for (const mark of [...rows.map((row) => decodeMarks(row)[peer]), heard[peer]]) {
    if (mark === undefined) continue;
    if (highest === null || (highest.incarnation === mark.incarnation && isHigher(mark, highest))) highest = mark;
  }
  return highest;
}

/** What an import may propose, given promises of e+1 and sealed reports of e (PROTOCOL.md §4, §9). */
import {
  agreedState,
  newestStates,
  type NodeId,
  pickAvoiding,
  type Report,
  sentSnapshot,
  type Snapshot,
  snapshotOf,
  type Value,
} from "../paxos/mod.ts";
import { type Epochs, freshBase, freshIn } from "./epoch.ts";
import type { ImportReport, ImportValue, ImportVote, ReportOf } from "./message.ts";

export type ImportPick =
  /** This may be decided already, on this base: nothing else may be proposed. */
  | ({ readonly type: "forced" } & ImportValue)
  /** At the base's instance nothing is decided but by this import: propose anything, best all of `collided` at once. */
  | { readonly type: "free"; readonly base: Snapshot; readonly collided: readonly Value[] }
  /** These are not enough. */
  | { readonly type: "more" };

const MORE: ImportPick = { type: "more" };

/**
 * @param promises one per member of e+1, all of one ballot
 * @param reports one per member of e
 * @param refused names of what an acceptor would not vote for, because of a claim
 */
export function pickImport(
  epochs: Epochs,
  promises: readonly ImportReport[],
  reports: readonly ReportOf[],
  refused: ReadonlySet<string>,
): ImportPick {
  const { quorums } = epochs.next;
  if (!quorums.isPhase1(new Set(promises.map(({ from }) => from)))) return MORE;
  const votes = promises.flatMap(({ vote }) => vote === null ? [] : [vote]);
  const named = new Map(votes.map((vote) => [nameOf(vote), vote]));
  const pick = pickAvoiding(quorums, promises.map(({ from, vote }) => byName(from, vote)), refused);
  if (pick.type === "ambiguous") return MORE;
  if (pick.type === "forced") {
    const { base, value } = named.get(pick.value.id)!;
    return { type: "forced", base, value };
  }
  // A read may have answered what is fresh, relying on the word of one of these: its promise must not bring an import of
  // what stood in e. Votes that force nothing are of the fresh ballot, whose members know that e is retired too.
  const first = epochs.next.first ?? promises.find(({ first }) => first !== null)?.first ?? null;
  const fresh = freshBase(epochs, first);
  if (fresh === null) return pickSealed(epochs, reports, refused);
  return { type: "free", base: fresh, collided: pick.collided.map(({ id }) => named.get(id)!.value) };
}

/**
 * As recovery picks in e, with e's members and sizes. Whoever is sealed has promised for good: so whatever is decided in
 * e at the base's instance, before or later, is what this forces, and nothing is decided above.
 */
export function pickSealed(
  { machine, old }: Epochs,
  reports: readonly ReportOf[],
  refused: ReadonlySet<string> = new Set(),
): ImportPick {
  if (!old.quorums.isPhase1(new Set(reports.map(({ from }) => from)))) return MORE;
  const fresh = sentSnapshot(machine, snapshotOf(freshIn(machine, old)));
  const views = reports.flatMap(({ from, snapshot, vote }) => snapshot === null ? [] : [{ from, snapshot, vote }]);
  // Who has no record has no vote beside one that has, wherever that stands: it may be below where fresh keys begin.
  if (views.length === 0) return pickEntering(old, fresh, reports, refused);
  const states = newestStates(views);
  const newest = states.length === 1 ? states[0]! : agreedState(old.quorums, states);
  if (newest === null) return MORE;
  const base = newest[0]!.snapshot;
  // Whoever is not at the newest instance has no vote in it, and will have none.
  const promises = reports.map(({ from, snapshot, vote }) => {
    return byName(from, vote !== null && snapshot?.instance === base.instance ? { ...vote, base } : null);
  });
  const pick = pickAvoiding(old.quorums, promises, refused);
  if (pick.type === "ambiguous") return MORE;
  const values = new Map(reports.flatMap(({ vote }) => vote === null ? [] : [[nameOf({ ...vote, base }), vote.value]]));
  if (pick.type === "forced") return { type: "forced", base, value: values.get(pick.value.id)! };
  return { type: "free", base, collided: pick.collided.map(({ id }) => values.get(id)!) };
}

/** What the import into e may have decided of a key that nobody has a record of there, by the votes in it. */
function pickEntering(
  { quorums }: Epochs["old"],
  fresh: Snapshot,
  reports: readonly ReportOf[],
  refused: ReadonlySet<string>,
): ImportPick {
  const votes = reports.flatMap(({ importVote }) => importVote === undefined ? [] : [importVote]);
  const named = new Map(votes.map((vote) => [nameOf(vote), vote]));
  const pick = pickAvoiding(quorums, reports.map(({ from, importVote = null }) => byName(from, importVote)), refused);
  if (pick.type === "ambiguous") return MORE;
  if (pick.type === "free") {
    return { type: "free", base: fresh, collided: pick.collided.map(({ id }) => named.get(id)!.value) };
  }
  const { base, value } = named.get(pick.value.id)!;
  return { type: "forced", base, value };
}

/** A value under another base is another one. */
export function nameOf({ base, value }: ImportValue): string {
  return `${value.id} on ${base.instance} ${base.stateHash}`;
}

/** The vote as one for base and value together, which is what an import decides. */
function byName(from: NodeId, vote: ImportVote | null): Report {
  return { from, vote: vote === null ? null : { ...vote, value: { ...vote.value, id: nameOf(vote) } } };
}

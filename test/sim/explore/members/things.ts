/** What a state is made of while a key goes from e, which is epoch 0 here, into epoch 1. Everything once said stays said. */
import type { Ballot, Certificate, NodeId, Report, Snapshot, Value, Vote } from "../../../../src/paxos/mod.ts";
import type { ImportReport, KeyRecord, MemberMessage, MemberView, ReportOf } from "../../../../src/members/mod.ts";
import type { VoteThing } from "../things.ts";
import { logOf } from "./log_machine.ts";

export type MemberThing = {
  readonly kind: "member";
  readonly at: NodeId;
  readonly sealed: boolean;
  /** It has heard that e is retired, for good. */
  readonly retired: boolean;
  readonly record: KeyRecord;
};
export type ReaderThing = {
  readonly kind: "reader";
  readonly epoch: 0 | 1;
  readonly isOver: boolean;
  /** What was decided before its first view must be in its answer. */
  readonly mustOpen: number;
  readonly views: readonly MemberView[];
};
export type PromiseThing = {
  readonly kind: "promise";
  readonly epoch: number;
  readonly ballot: Ballot;
  readonly instance: number;
  readonly report: Report;
};
export type ImportPromiseThing = {
  readonly kind: "import-promise";
  readonly ballot: Ballot;
  readonly report: ImportReport;
};
export type ReportThing = { readonly kind: "report"; readonly report: ReportOf };
export type MembersThing =
  | MemberThing
  | ReaderThing
  | { readonly kind: "retired"; readonly isRetired: boolean }
  /** For each instance the id of its decided value, SKIPPED where one that began above it was acted on. */
  | { readonly kind: "decided"; readonly values: readonly (string | null)[] }
  | PromiseThing
  | ImportPromiseThing
  | ReportThing
  /** A guarded decision that its proposer tells of. */
  | {
    readonly kind: "certificate";
    readonly epoch: number;
    readonly certificate: Certificate;
    readonly base: string | undefined;
  }
  /** A state that somebody may send. */
  | { readonly kind: "state"; readonly epoch: number; readonly snapshot: Snapshot }
  | VoteThing
  | { readonly kind: "request"; readonly from: NodeId | ""; readonly to: NodeId; readonly message: MemberMessage };

/**
 * One text for what no later step can tell apart: certificates tell who was counted, and nobody looks at that but to
 * find a store that lost a vote.
 */
export function textOf(thing: MembersThing): string {
  switch (thing.kind) {
    case "member":
      return `member ${thing.at} ${thing.sealed} ${thing.retired} ${recordText(thing.record)}`;
    case "reader": {
      const views = thing.views.map((view) =>
        "snapshot" in view
          ? `${view.from} ${snapshotText(view.snapshot)} ${voteText(view.vote)}`
          : `${view.from} - ${view.promised} ${view.first} ${voteText(view.vote)}`
      );
      return `reader ${thing.epoch} ${thing.isOver} ${thing.mustOpen} ${views.sort().join()}`;
    }
    case "retired":
      return `retired ${thing.isRetired}`;
    case "decided":
      return `decided ${thing.values.join()}`;
    case "promise":
      return `promise ${thing.epoch} ${thing.ballot} ${thing.instance} ${thing.report.from} ${
        voteText(thing.report.vote)
      }`;
    case "import-promise":
      return `import-promise ${thing.ballot} ${thing.report.from} ${thing.report.first} ${voteText(thing.report.vote)}`;
    case "report": {
      const { from, snapshot, vote } = thing.report;
      return `report ${from} ${snapshot === null ? "none" : snapshotText(snapshot)} ${voteText(vote)}`;
    }
    case "certificate":
      return JSON.stringify(thing);
    case "state":
      return `state ${thing.epoch} ${snapshotText(thing.snapshot)}`;
    case "vote":
      return `vote ${thing.acceptor} ${thing.epoch} ${thing.instance} ${thing.base} ${voteText(thing.vote)}`;
    case "request":
      return JSON.stringify(thing);
  }
}

function recordText(record: KeyRecord): string {
  if ("old" in record) {
    return `${record.old === null ? "none" : recordText(record.old)} import ${record.promised} ${
      voteText(record.vote)
    }`;
  }
  const { epoch, promised, vote, stopped } = record;
  return `${epoch} ${snapshotText(record)} ${promised} ${voteText(vote)} ${stopped}`;
}

function snapshotText({ instance, state, decidedBy }: Snapshot): string {
  return `${instance} [${logOf(state)}] ${decidedBy === null}`;
}

function voteText(vote: Vote & { readonly base?: Snapshot } | null): string {
  if (vote === null) return "no vote";
  return `${vote.ballot} ${vote.kind} ${vote.value.id} ${vote.base === undefined ? "" : snapshotText(vote.base)}`;
}

export function valueOf(id: string, proposer: NodeId | ""): Value {
  return { id, proposer, commands: [{ subject: "s", id, born: 1, op: { type: "x" } }] };
}

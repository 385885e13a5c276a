/** What is said about the import of a key into e+1, besides the messages of src/paxos. Everything here is plain JSON. */
import type {
  Accept,
  AcceptorMessage,
  AcceptorReply,
  Ballot,
  Certificate,
  Decide,
  NodeId,
  PickOwn,
  Recover,
  Snapshot,
  Value,
  Vote,
} from "../paxos/mod.ts";

/** What an import decides, as one: the instance, S(instance − 1), and the value of that instance. */
export type ImportValue = { readonly base: Snapshot; readonly value: Value };

export type ImportVote = Vote & { readonly base: Snapshot };

type Addressed = { readonly key: string; readonly epoch: number };

/** 1a */
export type ImportPrepare = Addressed & { readonly type: "import-prepare"; readonly ballot: Ballot };
/** 2a */
export type ImportAccept = Addressed & ImportValue & { readonly type: "import-accept"; readonly ballot: Ballot };
/** "The import is decided": for those that voted for it. All others need the state, by an ordinary Learn. */
export type ImportLearn = Addressed & {
  readonly type: "import-learn";
  readonly certificate: Certificate;
  /** The hash of the base. The certificate does not tell an import from a later instance that has the same number. */
  readonly baseHash: string;
};
/**
 * A message of the standing ballot of a key that is in no list of e. It bears a mark of its own: a record of e+1 may
 * stand at an instance of that number, and its votes must not be added to those for a fresh key.
 */
export type Fresh = Addressed & { readonly type: "fresh"; readonly message: Accept | Decide | Recover | PickOwn };

/** What nodes send each other of them. A node asks no other to decide, or to recover, for it. */
export type SentImport = ImportPrepare | ImportAccept | ImportLearn | (Fresh & { readonly message: Accept });
export type ImportMessage = SentImport | Fresh;
/** What a node hands to its acceptor, where it has heard of e+1 as whoever sends it has. */
export type SentMessage = AcceptorMessage | ImportMessage;
/** Messages of e+1 bear its number; a `read` of e+1 also asks a member of e for its sealed report. */
export type MemberMessage = AcceptorMessage | ImportMessage;

/** The record of e as it was when the seal was durable; no snapshot: it had none. */
export type SealedReport = {
  readonly snapshot: Snapshot | null;
  readonly vote: Vote | null;
  /** Without a record of e: the vote in the import into e, which may have been decided with it. */
  readonly importVote?: ImportVote;
};

export type MemberReply = AcceptorReply | EpochReply | ImportReply;
export type SentReply = AcceptorReply | ImportReply;

/** How two nodes meet of which one has not heard of e+1 yet. On the wire the hash of their configurations says as much. */
export type EpochReply =
  /** Sealed: ask in `epoch`. */
  | { readonly type: "moved"; readonly epoch: number }
  /** It has to learn of `epoch` and to seal the one before it first. */
  | { readonly type: "unsealed"; readonly epoch: number };

export type ImportReply =
  /** To a message of that kind. A reply that is as it would be of a record must not be taken for one. */
  | { readonly type: "fresh"; readonly reply: AcceptorReply }
  /** 1b, with the sealed report of who has been a member of e. */
  | ({ readonly type: "import-promise"; readonly ballot: Ballot; readonly report: SealedReport | null } & ImportWord)
  /** 2b */
  | { readonly type: "import-accepted"; readonly ballot: Ballot; readonly valueId: string }
  /** No vote for it: promised higher, or voted in this ballot already (`vote` tells for what). */
  | {
    readonly type: "import-refused";
    readonly ballot: Ballot;
    readonly promised: Ballot;
    readonly vote: ImportVote | null;
  }
  /** The key is not imported here. That has no instance number: it is neither behind nor ahead of anything. */
  | ({ readonly type: "unimported"; readonly promised: Ballot; readonly report: SealedReport | null } & ImportWord);

/** What a member of e+1 says of an import. */
export type ImportWord = {
  readonly vote: ImportVote | null;
  /** The first instance of a key without a record, if the member knows that e is retired; else null. */
  readonly first: number | null;
};

/** A 1b of an import. */
export type ImportReport = ImportWord & { readonly from: NodeId };

export type ReportOf = SealedReport & { readonly from: NodeId };

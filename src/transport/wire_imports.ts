/** Checks of what nodes say of the import of a key into an epoch (PROTOCOL.md §9); the ballots of imports are explicit ones. */
import type { ImportReply, ImportVote, SealedReport, SentImport } from "../members/message.ts";
import type { Accept, Alignment } from "../paxos/message.ts";
import { type Checks, type Fields, fieldsOf, integer, type Of, oneOf, record, refuse } from "./checks.ts";
import {
  checkBallot,
  checkCertificate,
  checkId,
  checkKey,
  checkSnapshot,
  checkValue,
  checkVote,
  checkVoteKind,
} from "./wire_values.ts";

const ADDRESS = { type: 1, key: 1, epoch: 1 } as const;
const IMPORT_VOTE = fieldsOf<ImportVote>({ ballot: 1, kind: 1, value: 1, base: 1 });
const FRESH_ACCEPT = fieldsOf<Omit<Accept, keyof Alignment | "any">>({ ...ADDRESS, instance: 1, ballot: 1, value: 1 });
const REPORT = fieldsOf<Required<SealedReport>>({ snapshot: 1, vote: 1, importVote: 1 });

export const IMPORT_MESSAGES: Checks<SentImport> = {
  "import-prepare": [fieldsOf<Of<SentImport, "import-prepare">>({ ...ADDRESS, ballot: 1 }), (message, at) => {
    checkAddress(message, at);
    checkImportBallot(message["ballot"], `${at}.ballot`);
  }],
  "import-accept": [
    fieldsOf<Of<SentImport, "import-accept">>({ ...ADDRESS, ballot: 1, base: 1, value: 1 }),
    (message, at, isLight) => {
      checkAddress(message, at);
      checkImportBallot(message["ballot"], `${at}.ballot`);
      checkSnapshot(message["base"], `${at}.base`, isLight);
      checkValue(message["value"], `${at}.value`, isLight);
    },
  ],
  "import-learn": [
    fieldsOf<Of<SentImport, "import-learn">>({ ...ADDRESS, certificate: 1, baseHash: 1 }),
    (message, at) => {
      checkAddress(message, at);
      checkCertificate(message["certificate"], `${at}.certificate`);
      checkId(message["baseHash"], `${at}.baseHash`);
    },
  ],
  fresh: [
    fieldsOf<Of<SentImport, "fresh">>({ ...ADDRESS, message: 1 }),
    (message, at, isLight) => {
      checkAddress(message, at);
      const said = record(message["message"], `${at}.message`, FRESH_ACCEPT);
      oneOf(said["type"], `${at}.message.type`, ["accept"]);
      for (const field of ["key", "epoch"]) {
        if (said[field] !== message[field]) refuse(`${at}.message.${field}`, "is not that of what it stands in");
      }
      integer(said["instance"], `${at}.message.instance`, 1);
      const [n, , step] = checkBallot(said["ballot"], `${at}.message.ballot`);
      if (n > 0 || step > 0) refuse(`${at}.message.ballot`, "is not the standing one");
      checkValue(said["value"], `${at}.message.value`, isLight);
    },
  ],
};

export const IMPORT_REPLIES: Checks<Exclude<ImportReply, { readonly type: "fresh" }>> = {
  "import-promise": [
    fieldsOf<Of<ImportReply, "import-promise">>({ type: 1, ballot: 1, report: 1, vote: 1, first: 1 }),
    (reply, at, isLight) => {
      checkImportBallot(reply["ballot"], `${at}.ballot`);
      checkWord(reply, at, isLight);
    },
  ],
  "import-accepted": [
    fieldsOf<Of<ImportReply, "import-accepted">>({ type: 1, ballot: 1, valueId: 1 }),
    (reply, at) => {
      checkImportBallot(reply["ballot"], `${at}.ballot`);
      checkId(reply["valueId"], `${at}.valueId`);
    },
  ],
  "import-refused": [
    fieldsOf<Of<ImportReply, "import-refused">>({ type: 1, ballot: 1, promised: 1, vote: 1 }),
    (reply, at, isLight) => {
      checkImportBallot(reply["ballot"], `${at}.ballot`);
      checkBallot(reply["promised"], `${at}.promised`);
      checkImportVote(reply["vote"], `${at}.vote`, isLight);
    },
  ],
  unimported: [
    fieldsOf<Of<ImportReply, "unimported">>({ type: 1, promised: 1, report: 1, vote: 1, first: 1 }),
    (reply, at, isLight) => {
      checkBallot(reply["promised"], `${at}.promised`);
      checkWord(reply, at, isLight);
    },
  ],
};

function checkAddress(message: Fields, at: string): void {
  checkKey(message["key"], `${at}.key`);
  // No key is imported into the first.
  integer(message["epoch"], `${at}.epoch`, 1);
}

function checkImportBallot(value: unknown, at: string): void {
  const [n, , step] = checkBallot(value, at);
  if (n === 0 || step !== 0) refuse(at, "is not one of an import");
}

function checkWord(reply: Fields, at: string, isLight: boolean): void {
  checkImportVote(reply["vote"], `${at}.vote`, isLight);
  if (reply["first"] !== null) integer(reply["first"], `${at}.first`, 1);
  if (reply["report"] === null) return;
  const { snapshot, vote, importVote } = record(reply["report"], `${at}.report`, REPORT);
  if (snapshot !== null) checkSnapshot(snapshot, `${at}.report.snapshot`, isLight);
  if (checkVote(vote, `${at}.report.vote`, isLight) !== null && snapshot === null) {
    refuse(`${at}.report.vote`, "is of no record");
  }
  if (importVote === undefined) return;
  checkImportVote(importVote, `${at}.report.importVote`, isLight);
  if (snapshot !== null) refuse(`${at}.report.importVote`, "stands beside a record");
}

function checkImportVote(value: unknown, at: string, isLight: boolean): void {
  if (value === null) return;
  const vote = record(value, at, IMPORT_VOTE);
  checkBallot(vote["ballot"], `${at}.ballot`);
  checkVoteKind(vote["kind"], `${at}.kind`);
  checkValue(vote["value"], `${at}.value`, isLight);
  checkSnapshot(vote["base"], `${at}.base`, isLight);
}

/** What of imports a node takes from a peer; that nothing may be missing or of another kind, wire_test.ts checks. */
import { assertEquals, assertThrows } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { VALUE_MAX_BYTES } from "../../src/limits.ts";
import { decodeMessages, decodeReplies } from "../../src/transport/wire.ts";
import { CERTIFICATE, IMPORT_VOTE, MESSAGES, REPLIES, SNAPSHOT, STANDING, VALUE, VOTE } from "./samples.ts";

function refused(decode: (json: string) => unknown, item: unknown, field: string): void {
  const error = assertThrows(() => decode(JSON.stringify([item])), QuorateError);
  assertEquals(error.facts.field, field);
}

Deno.test("imports: none is into the first epoch, and none has a ballot that is not its owner's own", () => {
  for (const type of ["import-prepare", "import-accept", "import-learn"] as const) {
    refused(decodeMessages, { ...MESSAGES[type], epoch: 0 }, "messages[0].epoch");
    refused(decodeMessages, { ...MESSAGES[type], instance: 5 }, "messages[0].instance");
  }
  for (const type of ["import-prepare", "import-accept"] as const) {
    for (const ballot of [STANDING, [2, "a/n1", 1], [2, "a", 0], [2, "a/n1"]]) {
      const { facts: { field } } = assertThrows(
        () => decodeMessages(JSON.stringify([{ ...MESSAGES[type], ballot }])),
        QuorateError,
      );
      assertEquals(field?.startsWith("messages[0].ballot"), true);
    }
  }
  refused(decodeReplies, { ...REPLIES["import-promise"], ballot: STANDING }, "replies[0].ballot");
  // What a member voted for in it may be of the fresh ballot.
  const vote = { ...IMPORT_VOTE, ballot: STANDING, kind: "fast" };
  decodeReplies(JSON.stringify([{ ...REPLIES["import-promise"], vote }]));
});

Deno.test("imports: of the standing ballot of a fresh key there is Accept! alone, in that ballot, and what answers it", () => {
  const { fresh } = MESSAGES;
  const accept = fresh.message;
  for (
    const [message, field] of [
      [{ ...accept, type: "decide" }, "type"],
      [{ ...accept, type: "recover" }, "type"],
      [{ ...accept, ballot: [2, "a/n1", 0] }, "ballot"],
      [{ ...accept, ballot: [0, "", 1] }, "ballot"],
      [{ ...accept, key: "lock/other" }, "key"],
      [{ ...accept, epoch: 2 }, "epoch"],
      [{ ...accept, instance: 0 }, "instance"],
      // A record of the epoch may be brought along by its sender; a key that has none is not.
      [{ ...accept, decided: CERTIFICATE }, "decided"],
      [{ ...accept, snapshot: SNAPSHOT }, "snapshot"],
      [{ ...accept, any: "coordinated" }, "any"],
    ] as const
  ) {
    refused(decodeMessages, { ...fresh, message }, `messages[0].message.${field}`);
  }
  refused(decodeMessages, { ...fresh, epoch: 0, message: { ...accept, epoch: 0 } }, "messages[0].epoch");
  refused(decodeMessages, { ...fresh, message: MESSAGES["import-learn"] }, "messages[0].message.certificate");
  for (const type of ["accepted", "refused", "not-lapsed", "rejected", "stopped"] as const) {
    decodeReplies(JSON.stringify([{ type: "fresh", reply: REPLIES[type] }]));
  }
  for (const reply of [REPLIES.learned, REPLIES.ahead, REPLIES.fresh, { type: "decided", instance: 5 }]) {
    refused(decodeReplies, { type: "fresh", reply }, "replies[0].reply.type");
  }
  const vote = { ...VOTE, base: SNAPSHOT };
  refused(decodeReplies, { type: "fresh", reply: { ...REPLIES.refused, vote } }, "replies[0].reply.vote.base");
});

Deno.test("imports: what only nodes of one epoch would say is not on the wire", () => {
  for (const reply of [{ type: "moved", epoch: 1 }, { type: "unsealed", epoch: 1 }]) {
    refused(decodeReplies, reply, "replies[0].type");
  }
});

Deno.test("imports: a report has a vote only with a record, and a vote of an import only without", () => {
  const reported = (report: unknown) => ({ ...REPLIES.unimported, report });
  for (
    const report of [null, { snapshot: null, vote: null }, { snapshot: SNAPSHOT, vote: null }, {
      snapshot: SNAPSHOT,
      vote: VOTE,
    }]
  ) {
    decodeReplies(JSON.stringify([reported(report)]));
  }
  refused(decodeReplies, reported({ snapshot: null, vote: VOTE }), "replies[0].report.vote");
  refused(
    decodeReplies,
    reported({ snapshot: SNAPSHOT, vote: null, importVote: IMPORT_VOTE }),
    "replies[0].report.importVote",
  );
});

Deno.test("imports: values and states have their limits", () => {
  const heavy = {
    ...VALUE,
    commands: [{ ...VALUE.commands[0]!, op: { type: "put", x: "x".repeat(VALUE_MAX_BYTES) } }],
  };
  refused(decodeMessages, { ...MESSAGES["import-accept"], value: heavy }, "messages[0].value");
  refused(
    decodeReplies,
    { ...REPLIES["import-refused"], vote: { ...IMPORT_VOTE, value: heavy } },
    "replies[0].vote.value",
  );
  const state = { ...SNAPSHOT.state, x: "x".repeat(60_000) };
  const base = { ...SNAPSHOT, state };
  refused(decodeMessages, { ...MESSAGES["import-accept"], base }, "messages[0].base.state");
  refused(
    decodeReplies,
    { ...REPLIES.unimported, report: { snapshot: base, vote: null } },
    "replies[0].report.snapshot.state",
  );
  refused(decodeReplies, { ...REPLIES.unimported, first: 0 }, "replies[0].first");
  refused(decodeReplies, { ...REPLIES["import-refused"], promised: [1, "", 0] }, "replies[0].promised[1]");
});

/** Whether a guarded decision waits for the last votes (PROTOCOL.md §2). */
import { assertEquals } from "@std/assert";
import { LastVotes } from "../../src/replica/last_votes.ts";

Deno.test("last votes: they are waited for a quarter as long as the others took, 1 to 5 ms", () => {
  const votes = new LastVotes();
  assertEquals([0, 2, 8, 400].map((tookMs) => votes.waitMs(tookMs)), [1, 1, 2, 5]);
});

Deno.test("last votes: where most of the newest came late none are waited for, until most come in time again", () => {
  const votes = new LastVotes();
  for (let i = 0; i < 8; i++) votes.note(true);
  for (let i = 0; i < 8; i++) votes.note(false);
  assertEquals(votes.waitMs(0), 1);
  votes.note(false);
  assertEquals(votes.waitMs(0), 0);
  // The oldest were in time: each that comes takes the place of one of them.
  for (let i = 0; i < 7; i++) votes.note(true);
  assertEquals(votes.waitMs(0), 0);
  for (let i = 0; i < 100; i++) votes.note(true);
  assertEquals(votes.waitMs(0), 1);
});

Deno.test("last votes: a member that is down costs no more than the first decisions a moment", () => {
  const votes = new LastVotes();
  let waits = 0;
  for (let i = 0; i < 100; i++) {
    if (votes.waitMs(0) > 0) waits++;
    votes.note(false);
  }
  assertEquals(waits, 1);
});

import { assertEquals } from "@std/assert";
import { emptyState, type KeyState } from "../../src/machine/state.ts";
import type { Hold } from "../../src/machine/op.ts";
import { Leftovers } from "./leftovers.ts";

const TERMS = { nodes: ["a", "b"], slowest: 1, fromMs: 1_000, learnMs: 100, except: ["me"] } as const;

function held(holder: string, ttlMs: number, more: Partial<Hold> = {}): KeyState {
  const hold = {
    fence: "1025",
    command: "c",
    subject: "s",
    mode: "exclusive",
    lockDelayMs: 0,
    by: "v",
    fromMs: 0,
  } as const;
  return { ...emptyState({ kind: "prepare" }), holders: [{ ...hold, holder, ttlMs, unconfirmed: false, ...more }] };
}

Deno.test("leftovers: a lease counts on the node that had it last, by the slowest clock", () => {
  const leftovers = new Leftovers();
  leftovers.seen("a", "k", 2, held("x", 1_000), 500);
  assertEquals(leftovers.freeMs("k", TERMS), 1_100 + 1_010);
  leftovers.seen("b", "k", 2, held("x", 1_000), 700);
  leftovers.seen("b", "k", 3, held("x", 1_000), 900);
  assertEquals(leftovers.freeMs("k", TERMS), 700 + 1_010);
  assertEquals(leftovers.freeMs("k", { ...TERMS, slowest: 0.5 }), 700 + 2_020);
});

Deno.test("leftovers: a restart begins it anew, a renewal and a hand-over are leases of their own, mine are none", () => {
  const leftovers = new Leftovers();
  for (const node of ["a", "b"]) leftovers.seen(node, "k", 2, held("x", 1_000), 500);
  leftovers.restarted("a");
  assertEquals(leftovers.freeMs("k", TERMS), 1_100 + 1_010);
  for (const node of ["a", "b"]) leftovers.seen(node, "k", 3, held("x", 1_000, { by: "w" }), 600);
  assertEquals(leftovers.freeMs("k", TERMS), 600 + 1_010);
  for (const node of ["a", "b"]) leftovers.seen(node, "k", 4, held("y", 60_000, { by: "u", unconfirmed: true }), 650);
  assertEquals(leftovers.freeMs("k", TERMS), 650 + 10_100);
  leftovers.seen("a", "k", 5, held("me", 60_000), 700);
  assertEquals(leftovers.freeMs("k", TERMS), 0);
  assertEquals(leftovers.freeMs("other", TERMS), 0);
});

Deno.test("leftovers: who waits is known by its place", () => {
  const leftovers = new Leftovers();
  const waiting = { ...emptyState({ kind: "prepare" }), queue: [["p", "next", "s", "x", 1_000, 0, "a", "v"] as const] };
  leftovers.seen("a", "k", 2, waiting, 500);
  assertEquals([leftovers.isWaiting("k", "next"), leftovers.isWaiting("k", "x")], [true, false]);
});

Deno.test("leftovers: where many processes serve a member a lease may last as much longer as their wall clocks are apart", () => {
  const leftovers = new Leftovers((node) => node === "b" ? 4_000 : 0);
  for (const node of ["a", "b"]) leftovers.seen(node, "k", 2, held("x", 1_000), 500);
  assertEquals(leftovers.freeMs("k", TERMS), 500 + 4_000 + 1_010);
  assertEquals(leftovers.freeMs("k", { ...TERMS, nodes: ["a"] }), 500 + 1_010);
});

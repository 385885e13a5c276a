import { assert, assertEquals } from "@std/assert";
import {
  type ImportContext,
  type ImportInput,
  type ImportOutput,
  type ImportState,
  initialImport,
  stepImport,
} from "../../src/members/importer.ts";
import type { MemberReply } from "../../src/members/message.ts";
import type { NodeId } from "../../src/paxos/ballot.ts";
import { STANDING } from "../../src/paxos/ballot.ts";
import type { Value } from "../../src/paxos/message.ts";
import { ballotOf, directValue, frozen, KEY, logOf, snapshotAfter, valueOf, voteFor } from "../paxos/samples.ts";
import { fast } from "../paxos/samples.ts";
import { unimported } from "../../src/members/epoch.ts";
import { EMPTY, epochsOf, importedOf, Member, voted } from "./samples.ts";

class Owner {
  state: ImportState = initialImport;
  readonly context: ImportContext;

  constructor(readonly me: NodeId, value: Value | null = valueOf(me)) {
    this.context = { ...epochsOf(), me, key: KEY, value };
  }

  step(input: ImportInput): readonly ImportOutput[] {
    const { state, out } = stepImport(frozen(this.context), frozen(this.state), frozen(input));
    this.state = state;
    return out;
  }

  prepare(nonce = "t"): readonly ImportOutput[] {
    return this.step({ type: "prepare", nonce });
  }

  hear(from: NodeId, reply: MemberReply): readonly ImportOutput[] {
    return this.step({ type: "reply", from, reply });
  }
}

const promise = (n: number, owner: NodeId, report: { snapshot: typeof EMPTY | null; vote: null } | null, vote = null) =>
  ({ type: "import-promise", ballot: ballotOf(n, owner), vote, first: null, report }) as const;
const NONE = { snapshot: null, vote: null };
const show = (out: readonly ImportOutput[]) =>
  out.map((output) => output.type === "send" ? `${output.to} ${output.message.type}` : output.type);

/** Delivers all that is sent, in order, and returns what else the owner says. */
function run(owner: Owner, members: readonly Member[], first: readonly ImportOutput[]): readonly ImportOutput[] {
  const queue = [...first];
  const told: ImportOutput[] = [];
  for (let i = 0; i < 100; i++) {
    const output = queue.shift();
    if (output === undefined) return told;
    if (output.type !== "send") told.push(output);
    else {
      const member = members.find(({ me }) => me === output.to);
      if (member !== undefined) queue.push(...owner.hear(member.me, member.get(output.message, owner.me)));
    }
  }
  throw new Error("no end");
}

Deno.test("importer: it prepares at members of e+1 and asks those that leave for their reports", () => {
  const owner = new Owner("d");
  assertEquals(show(owner.prepare()), ["a import-prepare", "b import-prepare", "d import-prepare", "c read"]);
  assertEquals(owner.state.ballot, ballotOf(1, "d"));
});

Deno.test("importer: with promises and reports it votes first itself, then asks all others, and tells who voted", () => {
  const owner = new Owner("a");
  owner.prepare();
  assertEquals(owner.hear("d", promise(1, "a", null)), []);
  assertEquals(owner.hear("a", promise(1, "a", NONE)), []);
  // A report alone: b is not there, and c leaves.
  const unimported = { type: "unimported", promised: STANDING, vote: null, first: null, report: NONE } as const;
  assertEquals(show(owner.hear("c", unimported)), ["a import-accept"]);
  const accepted = { type: "import-accepted", ballot: ballotOf(1, "a"), valueId: valueOf("a").id } as const;
  // Nobody else has been asked yet.
  assertEquals(owner.hear("d", accepted), []);
  assertEquals(show(owner.hear("a", accepted)), ["b import-accept", "d import-accept"]);
  assertEquals(owner.hear("a", accepted), []);
  assertEquals(owner.hear("d", { ...accepted, ballot: ballotOf(2, "a") }), []);
  const [decided] = owner.hear("d", accepted);
  assert(decided?.type === "decided");
  assertEquals(decided.learn.certificate.acceptors, ["a", "d"]);
  assertEquals(decided.learn.baseHash, EMPTY.stateHash);
  assertEquals(owner.hear("b", accepted), []);
});

Deno.test("importer: a twin's vote in this ballot is the ballot's value", () => {
  const owner = new Owner("a");
  owner.prepare();
  owner.hear("d", promise(1, "a", null));
  owner.hear("a", promise(1, "a", NONE));
  owner.hear("b", promise(1, "a", NONE));
  const vote = { ballot: ballotOf(1, "a"), kind: "classic", base: EMPTY, value: valueOf("b") } as const;
  const refused = { type: "import-refused", ballot: ballotOf(1, "a"), promised: ballotOf(1, "a"), vote } as const;
  const [sent] = owner.hear("a", refused);
  assert(sent?.type === "send" && sent.message.type === "import-accept" && sent.message.value.id === valueOf("b").id);
});

Deno.test("importer: a higher ballot, an unripe claim, an unsealed member and an imported key are told; a late word is not heard", () => {
  const owner = new Owner("a");
  owner.prepare();
  assertEquals(owner.hear("b", { type: "unsealed", epoch: 1 }), [{ type: "unsealed", member: "b" }]);
  const refused = { type: "import-refused", ballot: ballotOf(1, "a"), promised: ballotOf(7, "b"), vote: null } as const;
  assertEquals(owner.hear("b", refused), [{ type: "retry" }]);
  owner.prepare("u");
  assertEquals(owner.state.ballot[0], 8);
  assertEquals(owner.hear("b", refused), []);
  assertEquals(owner.hear("b", promise(1, "a", NONE)), []);
  assertEquals(owner.state.promises, []);
  const snapshot = snapshotAfter(fast("d"), [valueOf("b")], null);
  assertEquals(owner.hear("b", { type: "ahead", snapshot }), [{ type: "ahead", snapshot }]);
  assertEquals(owner.hear("d", { type: "ahead", snapshot }), []);
  assertEquals(owner.prepare("v"), []);
});

Deno.test("importer: a claim that was refused is not proposed again on that base", () => {
  const claim = valueOf("a", 1, { claims: [{ id: "l", by: "x" }] });
  const owner = new Owner("d", directValue("x"));
  const vote = { ballot: ballotOf(1, "a"), kind: "classic", base: EMPTY, value: claim } as const;
  owner.prepare();
  owner.hear("a", { type: "import-promise", ballot: ballotOf(1, "d"), vote, first: null, report: NONE });
  const [first] = owner.hear("d", promise(1, "d", null));
  assert(first?.type === "send" && first.message.type === "import-accept" && first.message.value.id === claim.id);
  const unripe = { type: "not-lapsed", instance: 1, ballot: ballotOf(1, "d"), remainingMs: 5 } as const;
  assertEquals(owner.hear("d", unripe), [{ type: "retry" }]);
  owner.prepare();
  owner.hear("b", promise(2, "d", NONE));
  // Without a's promise the claim is not forced. Reports of before are enough: a's will not have changed.
  const [second] = owner.hear("d", promise(2, "d", null));
  assert(second?.type === "send" && second.message.type === "import-accept");
  assertEquals(second.message.value.id, "x");
});

Deno.test("importer: with nothing to propose and nothing forced it says what is newest, and nothing is written", () => {
  const owner = new Owner("d", null);
  owner.prepare();
  owner.hear("a", promise(1, "d", NONE));
  assertEquals(owner.hear("b", promise(1, "d", NONE)).map(({ type }) => type), ["idle"]);
});

Deno.test("importer: a name in use comes over at its first use, with one member of e dead, and what e had voted for is in it", () => {
  const members = [new Member("a", unimported(voted())), new Member("b", unimported(voted())), new Member("d")];
  const owner = new Owner("d");
  const [decided] = run(owner, members, owner.prepare());
  assert(decided?.type === "decided");
  // What was voted for is forced; the owner's own command goes into the next instance.
  assertEquals(decided.proposal.value.id, valueOf("a").id);
  for (const member of members) {
    assertEquals(member.get(decided.learn, "d"), { type: "learned", instance: 2 });
    assertEquals(logOf(importedOf(member).state), ["a1"]);
  }
});

Deno.test("importer: commands that collided in e are decided with its own, in one value", () => {
  const at = (node: NodeId) => new Member(node, unimported({ ...voted(), vote: voteFor(valueOf(node)) }));
  const members = [at("a"), at("b"), new Member("d")];
  const owner = new Owner("d");
  const [decided] = run(owner, members, owner.prepare());
  assert(decided?.type === "decided");
  assertEquals(decided.proposal.value.commands.map(({ id }) => id), ["a1", "b1", "d1"]);
  assertEquals(decided.proposal.value.id, "d/t/i1");
});

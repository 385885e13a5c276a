import { assertEquals, assertRejects } from "@std/assert";
import type { Standing } from "../../src/epochs/change.ts";
import { MemberChanges } from "../../src/epochs/changes.ts";
import { Epochs } from "../../src/epochs/epochs.ts";
import type { Herald } from "../../src/epochs/herald.ts";
import type { ReservedKeys } from "../../src/epochs/reserved_keys.ts";
import { QuorateError } from "../../src/errors.ts";
import type { EpochConfig } from "../../src/ports.ts";
import { epochOf, KNOWS, rowOf } from "./samples.ts";

const [E0, E1] = [epochOf(0, "abc"), epochOf(1, "abd")];
const request = (ids: string, expect = 0) => ({ expect, members: epochOf(0, ids).members });

/** Node a of a, b and c, with d and e waiting; `decided` is what the register of the next epoch holds. */
function standing(more: { readonly hasSecret?: boolean; readonly met?: string; readonly refuseUrl?: boolean } = {}) {
  const it = { decided: null as EpochConfig | null, hangs: false, proposed: 0 };
  // It never met c.
  const lifeOf = (id: string) => Promise.resolve(id === "c" ? null : `life of ${id}`);
  let left = Promise.withResolvers<void>();
  const epochs = new Epochs({
    id: "a",
    cluster: E0.cluster,
    known: { current: E0, row: null },
    report: () => {},
    retire: () => Promise.resolve(),
    lifeOf,
    isNobodys: () => false,
    enter: () => {
      left.resolve();
      left = Promise.withResolvers();
      it.hangs = false;
      it.decided = null;
      return Promise.resolve();
    },
  });
  const standingOf = (id: string): Standing => {
    const isMember = "abc".includes(id);
    return {
      cluster: E0.cluster,
      id,
      incarnation: isMember ? "i" : null,
      isJoining: !isMember,
      isShared: false,
      ...KNOWS,
    };
  };
  const keys = {
    next: () => it.hangs ? new Promise(() => {}) : Promise.resolve(it.decided),
    decideNext: (config: EpochConfig) => {
      it.proposed++;
      return Promise.resolve(it.decided ??= config);
    },
  } as unknown as ReservedKeys;
  const changes = new MemberChanges({
    epochs,
    herald: { standing: ({ id }: { readonly id: string }) => Promise.resolve(standingOf(id)) } as unknown as Herald,
    here: () => ({ keys, left: left.promise }),
    learners: [],
    own: () => standingOf("a"),
    lifeOf,
    refuseUrl: () => more.refuseUrl === true,
    hasSecret: () => more.hasSecret !== false,
    isMet: (id) => Promise.resolve(id === more.met),
  });
  const change = (ids: string, expect = 0) => changes.change(request(ids, expect), 1_000);
  return { it, epochs, change, changes, state: () => changes.state().members.map(({ id }) => id).join("") };
}

const refusedWith = async (asked: Promise<unknown>, code: string) => {
  const error = await assertRejects(() => asked, QuorateError);
  assertEquals(error.code, code, error.message);
  return error;
};

Deno.test("changes: what is asked for is decided and followed, and asked for again it is there", async () => {
  const { change, changes, state, it, epochs } = standing();
  assertEquals(changes.state().before, undefined);
  assertEquals([await change("abd"), state(), it.proposed], ["changed", "abd", 1]);
  const origin = [..."ab"].map((id) => ({ id, incarnation: `life of ${id}` }));
  assertEquals(epochs.row, rowOf(E0, { ...E1, origin }));
  assertEquals(changes.state().before, ["a", "b", "c"]);
  assertEquals([await change("abd"), await change("abd", 1), it.proposed], ["unchanged", "unchanged", 1]);
  await refusedWith(change("abe", 1), "not-ready");
});

Deno.test("changes: what was decided before and told to nobody is followed first", async () => {
  const same = standing();
  same.it.decided = E1;
  assertEquals([await same.change("abd"), same.it.proposed, same.state()], ["unchanged", 0, "abd"]);
  const other = standing();
  other.it.decided = E1;
  const error = await refusedWith(other.change("abe"), "precondition-failed");
  assertEquals([error.facts.more, other.it.proposed, other.state()], [{ epoch: 1 }, 0, "abd"]);
});

Deno.test("changes: another change that is decided at the same moment wins", async () => {
  const { change, it, state } = standing();
  const asked = change("abe");
  it.decided = E1;
  await refusedWith(asked, "precondition-failed");
  assertEquals(state(), "abd");
});

Deno.test("changes: whoever waits for an epoch that this node has left is told what is so then", async () => {
  const waiting = standing();
  waiting.it.hangs = true;
  const [same, other] = [waiting.change("abd"), waiting.change("abe")];
  await waiting.epochs.hear(rowOf(E0, E1), "b");
  assertEquals(await same, "unchanged");
  await refusedWith(other, "precondition-failed");
});

Deno.test("changes: a decision that this node cannot follow is tried no more than a few times", async () => {
  const { change, it } = standing();
  it.decided = { ...E1, cluster: "q-other" };
  await refusedWith(change("abd"), "not-ready");
  assertEquals(it.proposed, 5);
});

Deno.test("changes: nothing is proposed without a secret, to an id that was used, or at a URL that is not to be", async () => {
  const cases = [[{ hasSecret: false }, "not-ready"], [{ met: "d" }, "invalid-request"], [
    { refuseUrl: true },
    "invalid-request",
  ]];
  for (const [more, code] of cases) {
    const { change, it } = standing(more as { readonly met?: string });
    await refusedWith(change("abd"), code as string);
    assertEquals(it.proposed, 0);
  }
});

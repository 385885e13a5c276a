import { assertEquals, assertMatch } from "@std/assert";
import type { MembersState } from "../../src/api.ts";
import type { MembersService } from "../../routes/members.ts";
import { epochOf } from "../epochs/samples.ts";
import { withApps } from "../routes/memory_apps.ts";
import { run } from "./command.ts";

const CHANGING = { from: 0, to: 1, sealed: 2, of: 3, total: 9, spare: 1 };

/** What a cluster says whose names move, three with each look at it. */
function moving(): { readonly service: MembersService; readonly asked: unknown[] } {
  let state: MembersState = { cluster: "q-0123456789ab", epoch: 0, members: [...epochOf(0, "abc").members] };
  let moved = 0;
  const asked: unknown[] = [];
  const service: MembersService = {
    state: () => {
      if (state.changing !== undefined) moved += 3;
      if (moved > 9) return { ...state, changing: undefined } as unknown as MembersState;
      return state.changing === undefined ? state : { ...state, changing: { ...CHANGING, moved } };
    },
    change: (request) => {
      asked.push(request);
      const before = state.before ?? state.members.map(({ id }) => id);
      const isSame = JSON.stringify(request.members) === JSON.stringify(state.members);
      state = { ...state, epoch: 1, members: [...request.members], before, changing: { ...CHANGING, moved } };
      return Promise.resolve(isSame ? "unchanged" : "changed");
    },
  };
  return { service, asked };
}

Deno.test("member: list, add, remove and replace ask for the members that are to be, and tell how far names are", async () => {
  const d = "http://127.0.0.1:8100";
  const cases: readonly (readonly [readonly string[], string])[] = [
    [["add", `d=${d}/`], "abcd"],
    [["add", `d=${d}`, "e=http://127.0.0.1:8101"], "abcde"],
    [["remove", "a", "b"], "c"],
    [["replace", "c", "--with", `d=${d}`], "abd"],
  ];
  // Each looks again after a while, until all names have moved.
  await Promise.all(cases.map(async ([args, ids]) => {
    const { service, asked } = moving();
    await withApps(1, async (apps) => {
      const { code, out, err } = await run(["member", ...args, "--url", apps.url("a")]);
      assertEquals([code, err], [0, []], args.join(" "));
      assertEquals(asked, [{ expect: 0, members: epochOf(0, ids).members }]);
      assertMatch(out[0]!, new RegExp(`^epoch 1: the members are ${[...ids].join(", ")}$`));
      assertMatch(
        out[1]!,
        /^epoch 1: 2 of 3 members of epoch 0 are in it, [369] of 9 names have moved; until then 1 of them may fail$/,
      );
      assertMatch(out.at(-1)!, /^epoch 1: all names have moved; who is no member any more can be ended$/);
    }, { members: service });
  }));
});

Deno.test("member: done already, --no-wait and --json; list", async () => {
  const { service, asked } = moving();
  await withApps(1, async (apps) => {
    const url = apps.url("a");
    const add = ["member", "add", "d=http://127.0.0.1:8100", "--no-wait", "--json", "--url", url];
    const [first] = (await run(add)).out;
    assertEquals(JSON.parse(first!).outcome, "changed");
    const listed = await run(["member", "list", "--url", url]);
    assertEquals(listed.out.slice(0, 4), epochOf(0, "abcd").members.map(({ id, url }) => `${id}\t${url}`));
    assertMatch(listed.out[4]!, /names have moved/);
    assertEquals(JSON.parse((await run(["member", "list", "--json", "--url", url])).out[0]!).epoch, 1);
    assertEquals(asked.length, 1);
  }, { members: service });
});

Deno.test("member: remove and replace are repeated while the change is under way; another id is refused with those there are", async () => {
  const d = "d=http://127.0.0.1:8100";
  const cases = [
    [["remove", "a", "b"], ["remove", "a", "x"], /x is no member; the members are c$/],
    [["replace", "c", "--with", d], ["replace", "x", "--with", d], /x is no member; the members are a, b, d$/],
    [
      ["replace", "c", "--with", d],
      ["replace", "c", "--with", `e=${d.slice(2)}`],
      /c is no member; the members are a, b, d$/,
    ],
  ] as const;
  await Promise.all(cases.map(async ([args, other, line]) => {
    const { service, asked } = moving();
    await withApps(1, async (apps) => {
      const member = (args: readonly string[]) =>
        run(["member", ...args, "--no-wait", "--json", "--url", apps.url("a")]);
      for (const outcome of ["changed", "unchanged"]) {
        const { code, out } = await member(args);
        assertEquals([code, JSON.parse(out[0]!).outcome], [0, outcome], args.join(" "));
      }
      assertEquals(asked[0], { expect: 0, members: (asked[1] as { readonly members: unknown }).members });
      const { code, err } = await member(other);
      assertEquals([code, asked.length], [2, 2], other.join(" "));
      assertMatch(err[0]!, line);
    }, { members: service });
  }));
});

Deno.test("member: what is no member, no URL or no node is told in one line", async () => {
  const { service, asked } = moving();
  await withApps(1, async (apps) => {
    const url = apps.url("a");
    for (
      const [args, code, line] of [
        [["add", "d"], 2, /"d" is not ID=URL/],
        [["add", "d=ftp://x"], 2, /is not ID=URL/],
        [["add"], 2, /missing required argument/],
        [["remove", "x"], 2, /x is no member; the members are a, b, c$/],
        [["remove", "a", "x"], 2, /x is no member; the members are a, b, c$/],
        [["remove", ""], 2, / is no member; the members are a, b, c$/],
        [["replace", "x", "--with", "d=http://127.0.0.1:8100"], 2, /x is no member; the members are a, b, c/],
        [["replace", "c"], 2, /--with/],
      ] as const
    ) {
      const ended = await run(["member", ...args, "--url", url]);
      assertEquals([ended.code, ended.err.length], [code, 1], args.join(" "));
      assertMatch(ended.err[0]!, line);
    }
    assertEquals(asked, []);
  }, { members: service });
});

import { assertEquals, assertThrows } from "@std/assert";
import { clusterConfigOf, genesisOf } from "../../src/config/cluster_config.ts";
import { clusterConfigIn, epochText, parseEpoch, readRow, rowText } from "../../src/epochs/epoch_config.ts";
import { QuorateError } from "../../src/errors.ts";
import { EPOCHS_MAX_BYTES } from "../../src/limits.ts";
import type { EpochConfig } from "../../src/ports.ts";
import { epochOf, rowOf } from "./samples.ts";

const MODES = [{ prefix: "lock/jobs/", mode: "multi" }];
const RESTORED = { count: 3, digest: "ab" };

Deno.test("epochs: one text, whatever the order of members, which parses to the same epoch", () => {
  const life = (id: string) => ({ id, incarnation: `life of ${id}` });
  const config = epochOf(4, "bca", { modes: MODES, restored: RESTORED, origin: [life("b"), life("a")] });
  const text = epochText(config);
  assertEquals(
    text,
    epochText(epochOf(4, "abc", { origin: [life("a"), life("b")], restored: RESTORED, modes: MODES })),
  );
  const parsed = parseEpoch(text);
  assertEquals(parsed.members.map(({ id }) => id), ["a", "b", "c"]);
  assertEquals(epochText(parsed), text);
  const row = rowOf(epochOf(3, "abd"), parsed, 7);
  assertEquals(readRow(JSON.parse(rowText(row)), "row"), row);
});

Deno.test("epochs: the first one has the ClusterConfig that init wrote", () => {
  const settings = { urls: { b: "http://127.0.0.1:1", a: "http://127.0.0.1:2", c: "http://127.0.0.1:3" }, modes: [] };
  for (const restored of [null, RESTORED]) {
    const { text, hash } = clusterConfigOf(settings, restored);
    assertEquals(clusterConfigIn(genesisOf(settings, restored)), { text, hash });
  }
});

Deno.test("epochs: URLs are no part of what nodes compare, all else is", () => {
  const { hash } = clusterConfigIn(epochOf(1, "abc"));
  const moved = epochOf(1, "abc").members.map(({ id }) => ({ id, url: `http://other:${id.charCodeAt(0)}` }));
  assertEquals(clusterConfigIn(epochOf(1, "abc", { members: moved })).hash, hash);
  const others: readonly EpochConfig[] = [
    epochOf(2, "abc"),
    epochOf(1, "abd"),
    epochOf(1, "abc", { modes: MODES }),
    epochOf(1, "abc", { cluster: "q-other" }),
    epochOf(1, "abc", { restored: RESTORED }),
  ];
  assertEquals(new Set([hash, ...others.map((other) => clusterConfigIn(other).hash)]).size, others.length + 1);
});

/** What is no epoch, and the field of it that is named. */
const BAD: readonly (readonly [string, (config: Record<string, unknown>) => void, string])[] = [
  ["another field", (config) => config["extra"] = 1, "row.current.extra"],
  ["no cluster", (config) => delete config["cluster"], "row.current.cluster"],
  ["an epoch that is no number", (config) => config["epoch"] = "1", "row.current.epoch"],
  ["half an epoch", (config) => config["epoch"] = 1.5, "row.current.epoch"],
  ["members that are none", (config) => config["members"] = [], "row.current.members"],
  ["two members", (config) => config["members"] = epochOf(1, "ab").members, "row.current.members"],
  ["ten members", (config) => config["members"] = epochOf(1, "abcdefghij").members, "row.current.members"],
  ["a member twice", (config) => config["members"] = epochOf(1, "aab").members, "row.current.members"],
  [
    "a URL twice",
    (config) => (config["members"] as { url: string }[])[1]!.url = "http://127.0.0.1:8097",
    "row.current.members",
  ],
  ["an id in capitals", (config) => (config["members"] as { id: string }[])[0]!.id = "A", "row.current.members[0].id"],
  [
    "an id that is long",
    (config) => (config["members"] as { id: string }[])[0]!.id = "a".repeat(33),
    "row.current.members[0].id",
  ],
  [
    "a URL with a path",
    (config) => (config["members"] as { url: string }[])[0]!.url = "http://x/y",
    "row.current.members[0].url",
  ],
  [
    "a URL of another kind",
    (config) => (config["members"] as { url: string }[])[0]!.url = "ftp://x",
    "row.current.members[0].url",
  ],
  [
    "a URL with a password",
    (config) => (config["members"] as { url: string }[])[0]!.url = "http://a:b@x",
    "row.current.members[0].url",
  ],
  ["a mode that is none", (config) => config["modes"] = [{ prefix: "x", mode: "slow" }], "row.current.modes[0].mode"],
  [
    "a store of the origin without an incarnation",
    (config) => config["origin"] = [{ id: "a" }],
    "row.current.origin[0].incarnation",
  ],
  [
    "two stores of one first member",
    (config) => config["origin"] = [{ id: "a", incarnation: "i" }, { id: "a", incarnation: "j" }],
    "row.current.origin",
  ],
  ["a restore of number 0", (config) => config["restored"] = { count: 0, digest: "a" }, "row.current.restored.count"],
  ["a restore beyond all", (config) => config["restored"] = { count: 901, digest: "a" }, "row.current.restored.count"],
  ["half a surrogate pair", (config) => config["cluster"] = "\ud800", "row.current.cluster"],
];

Deno.test("epochs: what is none is refused, and what is wrong in it is named", () => {
  for (const [name, spoil, field] of BAD) {
    const row = JSON.parse(rowText(rowOf(epochOf(0, "abc"), epochOf(1, "abd"))));
    spoil(row.current);
    const error = assertThrows(() => readRow(row, "row"), QuorateError, undefined, name);
    assertEquals([error.code, error.facts.field], ["invalid-request", field], name);
  }
  const rows: readonly (readonly [object, string])[] = [
    [{ ...rowOf(epochOf(0, "abc"), epochOf(2, "abd")) }, "row.before"],
    [{ ...rowOf(epochOf(0, "abc", { cluster: "q-other" }), epochOf(1, "abd")) }, "row.before"],
    [{ ...rowOf(epochOf(0, "abc"), epochOf(1, "abd")), first: 0 }, "row.first"],
    [{ ...rowOf(epochOf(0, "abc"), epochOf(1, "abd")), beforeFirst: null }, "row.beforeFirst"],
  ];
  for (const [row, field] of rows) {
    assertEquals(assertThrows(() => readRow(row, "row"), QuorateError).facts.field, field);
  }
});

Deno.test("epochs: only the one text is taken, and none that is too large", () => {
  const text = epochText(epochOf(1, "abc"));
  assertThrows(() => parseEpoch(` ${text}`), QuorateError, "is not written as epochs are");
  assertThrows(() => parseEpoch(epochText(epochOf(1, "abc")).replace('"modes":[]', '"modes": []')), QuorateError);
  assertThrows(() => parseEpoch(`${text}${" ".repeat(EPOCHS_MAX_BYTES)}`), QuorateError, "is above");
  assertThrows(() => parseEpoch("{"), QuorateError, "is not JSON");
});

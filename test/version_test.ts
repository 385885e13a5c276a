/** The release has one number, wherever it is said; what nodes say of themselves is read as it was written. */
import { assertEquals } from "@std/assert";
import {
  MACHINE_OF_ALL,
  MACHINE_VERSION,
  OWN_VERSION,
  readVersion,
  readWire,
  speaks,
  VERSION,
  versionText,
  wiresSaid,
  wireWords,
} from "../src/version.ts";

Deno.test("version: the package's is the one that nodes tell", async () => {
  const { version } = JSON.parse(await Deno.readTextFile(new URL("../deno.json", import.meta.url)));
  assertEquals(version, VERSION);
});

Deno.test("version: what a node says of itself is read as it was written, and what a later one adds is passed over", () => {
  assertEquals(readVersion(versionText(OWN_VERSION)), OWN_VERSION);
  const other = { version: "1.20.3-rc.1+b", wires: { least: 7, most: 19 }, machine: 12 };
  assertEquals(versionText(other), "1.20.3-rc.1+b; wire=7-19; machine=12");
  assertEquals(readVersion(`${versionText(other)}; rows=6; more=x-y`), other);
  assertEquals(MACHINE_OF_ALL <= MACHINE_VERSION, true);
});

Deno.test("version: what is no such text says nothing", () => {
  const bad = [
    null,
    "",
    "0.3.0",
    "0.3.0; wire=6; machine=3",
    "0.3.0; wire=6-5; machine=3",
    "0.3.0; wire=0-5; machine=3",
    "0.3.0; wire=5-6; machine=03",
    "0.3.0; wire=5-6; machine=3;",
    "0.3.0; wire=5-6; machine=3\n",
    "0.3.0 ; wire=5-6; machine=3",
    `${"9".repeat(41)}; wire=5-6; machine=3`,
    "0.3.0; wire=5-66666; machine=3",
    `0.3.0; wire=5-6; machine=3${"; a=b".repeat(9)}`,
  ];
  for (const text of bad) assertEquals(readVersion(text), null, JSON.stringify(text));
});

Deno.test("version: wires are those that are said, or the one that a message is in", () => {
  assertEquals(wiresSaid({ wire: "5", version: null }), { least: 5, most: 5 });
  assertEquals(wiresSaid({ wire: "5", version: "0.3.0; wire=5-6; machine=3" }), { least: 5, most: 6 });
  assertEquals(wiresSaid({ wire: null, version: null }), { least: 1, most: 1 });
  assertEquals(wiresSaid({ wire: "5, 5", version: null }), null);
  assertEquals(["05", "-5", "5.0", "", "1234567890"].map(readWire), [null, null, null, null, null]);
  assertEquals([4, 5, 6, 7, null].map((wire) => speaks({ least: 5, most: 6 }, wire)), [
    false,
    true,
    true,
    false,
    false,
  ]);
  assertEquals([wireWords({ least: 5, most: 5 }), wireWords({ least: 5, most: 6 })], ["wire 5", "wires 5 to 6"]);
});

import { assertEquals, assertThrows } from "@std/assert";
import { eachLine } from "../src/cli/lines.ts";
import { freePort, freePorts } from "./free_ports.ts";

const MODULE = new URL("./free_ports.ts", import.meta.url).href;
/** Says its ports, and has them until it is killed. */
const OTHER = `import { freePorts } from ${JSON.stringify(MODULE)};
console.log(freePorts(40).join());
setInterval(() => {}, 60_000);`;

Deno.test("free ports: processes beside each other are given none of each other's, though nobody listens there yet", async () => {
  const children = Array.from({ length: 3 }, () =>
    new Deno.Command(Deno.execPath(), {
      args: ["eval", OTHER],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn());
  try {
    const told = children.map(async ({ stdout }) => {
      const lines = Promise.withResolvers<string>();
      const read = eachLine(stdout, lines.resolve);
      return { ports: (await Promise.race([lines.promise, read.then(() => "")])).split(",").map(Number), read };
    });
    const all = [...freePorts(40), ...(await Promise.all(told)).flatMap(({ ports }) => ports)];
    assertEquals([all.length, new Set(all).size], [160, 160]);
    for (const child of children) child.kill("SIGKILL");
    await Promise.all((await Promise.all(told)).map(({ read }) => read));
  } finally {
    await Promise.all(children.map((child) => child.status));
  }
});

Deno.test("free ports: in a row, none twice before the others were given, and none that somebody listens on", () => {
  const first = freePort();
  const [a, b, c] = freePorts(3) as [number, number, number];
  assertEquals([b, c], [a + 1, a + 2]);
  {
    using _taken = Deno.listen({ hostname: "127.0.0.1", port: first });
    const given = Array.from({ length: 300 }, () => freePort());
    assertEquals([given.includes(first), given.includes(a)], [false, true]);
    assertEquals(new Set(given.slice(0, 100)).size, 100);
    for (let i = 0; i < 100; i++) assertEquals(freePorts(9).includes(first), false);
  }
  assertThrows(() => freePorts(200), Error, "no 200 free ports in a row");
});

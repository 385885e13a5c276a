/** The listening side of a process, before there is a node behind it. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { newCa, newLeaf } from "../../src/cli/certificates.ts";
import { listen } from "../../src/cli/serve.ts";
import { Outward } from "../../src/compose/outward.ts";
import { QuorateError } from "../../src/errors.ts";
import { CERTIFICATE, PRIVATE_KEY } from "../chaos/certificate.ts";

const PAGE = "https://app.example";

Deno.test("listen: a page of a listed origin reads that the node is starting, and asks first as browsers do", async () => {
  const listener = listen({ host: "127.0.0.1", port: 0, tls: null, cors: [PAGE] });
  const ask = async (method: string, origin: string, headers: Record<string, string> = {}) => {
    const response = await fetch(`${listener.url}/v1/locks/x`, { method, headers: { origin, ...headers } });
    await response.body?.cancel();
    return [response.status, response.headers.get("access-control-allow-origin")];
  };
  try {
    assertEquals(await ask("GET", PAGE), [503, PAGE]);
    assertEquals(await ask("OPTIONS", PAGE, { "access-control-request-method": "PUT" }), [204, PAGE]);
    assertEquals(await ask("GET", "https://other.example"), [503, null]);
  } finally {
    await listener.stop();
  }
});

Deno.test("listen: a renewed certificate is shown on new connections, what is under way goes on, and a bad one changes nothing", async () => {
  const now = Date.now();
  const [old, next] = await Promise.all([newCa(now), newCa(now)]);
  const [before, after] = await Promise.all([old, next].map((ca) => newLeaf(ca, ["127.0.0.1"], 1, now)));
  const listener = listen({ host: "127.0.0.1", port: 0, tls: before!, cors: [] });
  let finish = () => {};
  const finished = new Promise<void>((resolve) => finish = resolve);
  let begun = () => {};
  const isBegun = new Promise<void>((resolve) => begun = resolve);
  listener.open(async ({ url }) => {
    if (!url.endsWith("/slow")) return new Response("at once");
    begun();
    await finished;
    return new Response("late");
  });
  // Each of these clients has connections of its own.
  const ask = (ca: string, path = "/") =>
    new Outward(ca).fetch(listener.url + path, {}).then((answer) => answer.text());
  try {
    const slow = ask(old.cert, "/slow");
    await isBegun;
    assertEquals(await ask(old.cert), "at once");
    for (const bad of [{ ...after!, key: before!.key }, { ...after!, cert: "x" }, { ...after!, key: CERTIFICATE }]) {
      await assertRejects(() => listener.renew(bad), QuorateError, "--tls-cert and --tls-key cannot be used together");
      assertEquals(await ask(old.cert), "at once");
    }
    await listener.renew(after!);
    assertEquals(await ask(next.cert), "at once");
    await assertRejects(() => ask(old.cert), TypeError);
    await listener.renew(after!);
    await listener.renew(before!);
    assertEquals(await ask(old.cert), "at once");
    finish();
    assertEquals(await slow, "late");
  } finally {
    finish();
    await listener.stop();
  }
  await assertRejects(() => ask(old.cert), TypeError);
});

Deno.test("listen: a certificate with another's key is told before anything listens", async () => {
  const { cert } = await newCa(Date.now());
  const tls = { cert, key: PRIVATE_KEY };
  assertThrows(() => listen({ host: "127.0.0.1", port: 0, tls, cors: [] }), QuorateError, "cannot be used together");
});

Deno.test("Outward: a CA that cannot be read changes nothing; one that is renewed holds for the next connection", async () => {
  const now = Date.now();
  const ca = await newCa(now);
  const tls = await newLeaf(ca, ["127.0.0.1"], 1, now);
  const listener = listen({ host: "127.0.0.1", port: 0, tls, cors: [] });
  const outward = new Outward(CERTIFICATE);
  const ask = () => outward.fetch(listener.url, {}).then((answer) => answer.text().then(() => answer.status));
  try {
    await assertRejects(ask, TypeError);
    const bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assertThrows(() => outward.prepare(bad), QuorateError, "--tls-ca holds no certificate of a CA");
    outward.prepare(ca.cert);
    // Not before it is said so.
    await assertRejects(ask, TypeError);
    outward.prepare(ca.cert)();
    assertEquals(await ask(), 503);
    outward.prepare(CERTIFICATE)();
    await assertRejects(ask, TypeError);
    outward.prepare(null)();
    await assertRejects(ask, TypeError);
  } finally {
    await listener.stop();
  }
});

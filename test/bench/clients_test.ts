import { assertEquals, assertRejects } from "@std/assert";
import { ByteStream, joined } from "./byte_stream.ts";
import { Connection } from "./connection.ts";
import { carryLate } from "./delay.ts";
import { buffer, int, long, readFrame, Session } from "./jute.ts";
import { ZooKeeperDriver } from "./zookeeper.ts";

/** A server that answers each request with the next of these texts, cut into pieces of so many bytes. */
function scripted(answers: readonly string[], piece: number): { readonly url: string; close(): Promise<void> } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    const conn = await listener.accept();
    const buffer = new Uint8Array(4_096);
    for (const answer of answers) {
      await conn.read(buffer);
      const bytes = new TextEncoder().encode(answer);
      for (let at = 0; at < bytes.length; at += piece) {
        await conn.write(bytes.subarray(at, at + piece));
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
    }
    conn.close();
    listener.close();
  })();
  return { url: `http://127.0.0.1:${listener.addr.port}`, close: () => serving };
}

Deno.test("Connection: an answer is read whole, however it is cut, with a length or in chunks", async () => {
  const answers = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    'HTTP/1.1 409 Conflict\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n',
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbroken",
  ];
  for (const piece of [1, 7, 1_000]) {
    const server = scripted(answers, piece);
    const connection = await Connection.open(server.url);
    assertEquals(await connection.request("GET", "/"), { status: 200, text: "hello" });
    assertEquals(await connection.request("POST", "/", "{}"), { status: 409, text: '{"a":1}' });
    assertEquals(await connection.request("GET", "/"), { status: 204, text: "" });
    await assertRejects(() => connection.request("GET", "/"), Error, "the connection ended");
    connection.close();
    await server.close();
  }
});

Deno.test("a late line: bytes arrive in order and whole, and the end of what is sent arrives after them", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const connect = async () => {
    const dialled = Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port });
    return [await dialled, await listener.accept()] as const;
  };
  const [sender, near] = await connect();
  const [far, receiver] = await connect();
  const carried = carryLate(near, far, 2);
  const text = Array.from({ length: 50_000 }, (_, i) => i).join();
  await new Blob([text]).stream().pipeTo(sender.writable, { preventClose: true });
  await sender.closeWrite();
  assertEquals(await new Response(receiver.readable).text(), text);
  await carried;
  for (const conn of [sender, near, far]) conn.close();
  listener.close();
});

Deno.test("ZooKeeper's client: who waits has the lock once the place before is gone, and an error is told", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const text = (value: string) => joined(int(value.length), new TextEncoder().encode(value));
  const head = (xid: number, error: number) => joined(int(xid), long(7n), int(error));
  const places = (...names: string[]) => joined(int(names.length), ...names.map(text));
  const changed = (path: string) => joined(head(-1, 0), int(2), int(3), text(path));
  /** For each request, what is answered, with events of watches before and after. */
  const answers: readonly (readonly Uint8Array[])[] = [
    [joined(int(0), int(60_000), long(1n), text("password"))],
    [changed("/elsewhere"), joined(head(1, 0), text("/q/n-2"))],
    [joined(head(2, 0), places("n-2", "n-1"))],
    [head(3, 0), changed("/elsewhere"), changed("/q/n-1")],
    [head(4, -101)],
    [joined(head(5, 0), places("n-2"))],
    [head(6, -4)],
    [head(8, 0)],
  ];
  const asked: number[] = [];
  const serving = (async () => {
    const stream = new ByteStream(await listener.accept());
    for (const frames of answers) {
      const request = await readFrame(stream);
      request.int();
      asked.push(request.int());
      for (const byte of joined(...frames.map(buffer))) await stream.write(new Uint8Array([byte]));
    }
    stream.close();
  })();
  const driver = new ZooKeeperDriver(await Session.open("127.0.0.1", listener.addr.port, 60_000));
  assertEquals(await driver.wait("q"), "/q/n-2");
  assertEquals(asked.slice(1), [1, 8, 3, 3, 8]);
  await assertRejects(() => driver.release("q", "/q/n-2"), Error, "answered -4");
  await assertRejects(() => driver.put("k", "v"), Error, "which was not asked");
  driver.close();
  await serving;
  listener.close();
});

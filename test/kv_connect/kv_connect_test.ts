/** The stand-in, seen by Deno's own client. */
import { startKvConnect } from "./server.ts";
import { kvConnectSuite } from "./suite.ts";

const CHECKS_MAX = 10;

kvConnectSuite("stand-in", () => {
  const server = startKvConnect({ checksMax: CHECKS_MAX });
  return Promise.resolve({
    name: "stand-in",
    accessToken: server.accessToken,
    url: server.url("a"),
    checksMax: CHECKS_MAX,
    [Symbol.asyncDispose]: () => server.stop(),
  });
});

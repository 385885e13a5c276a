/** The stand-in and, where there is one, the real denokv, seen by Deno's own client. */
import { DENOKV_CHECKS_MAX, findDenokv, startDenokv } from "./denokv.ts";
import { startKvConnect } from "./server.ts";
import { kvConnectSuite } from "./suite.ts";

kvConnectSuite("stand-in", DENOKV_CHECKS_MAX, () => {
  const server = startKvConnect({ checksMax: DENOKV_CHECKS_MAX });
  return Promise.resolve({
    accessToken: server.accessToken,
    url: server.url("a"),
    [Symbol.asyncDispose]: () => server.stop(),
  });
});

const denokv = await findDenokv();
if (denokv === null) {
  console.log("KV Connect: denokv not found (neither on PATH nor by QUORATE_DENOKV): only the stand-in was tested");
} else {
  console.log(`KV Connect: tested on the stand-in and on ${denokv}`);
  kvConnectSuite("denokv", DENOKV_CHECKS_MAX, () => startDenokv(denokv));
}

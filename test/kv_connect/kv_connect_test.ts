/** The stand-in and, where there is one, the real denokv, seen by Deno's own client. */
import { DENOKV_CHECKS_MAX, findDenokv, startDenokv } from "./denokv.ts";
import { startKvConnect } from "./server.ts";
import { kvConnectSuite } from "./suite.ts";

const denokv = await findDenokv();

const TESTED_ON = denokv === null
  ? "denokv not found, neither on PATH nor by QUORATE_DENOKV: only the stand-in was tested"
  : `tested on the stand-in and on ${denokv}`;
// `--quiet` hides what tests print, but not their names.
Deno.test(`KV Connect: ${TESTED_ON}`, () => console.log(TESTED_ON));

kvConnectSuite("stand-in", DENOKV_CHECKS_MAX, () => {
  const server = startKvConnect({ checksMax: DENOKV_CHECKS_MAX });
  return Promise.resolve({
    accessToken: server.accessToken,
    url: server.url("a"),
    [Symbol.asyncDispose]: () => server.stop(),
  });
});

if (denokv !== null) kvConnectSuite("denokv", DENOKV_CHECKS_MAX, () => startDenokv(denokv));

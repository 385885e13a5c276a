/** An acceptor's host in a test, which says only what the test is about. */
import { sha256Hex } from "../../src/auth/digest.ts";
import { AcceptorHost, type AcceptorHostParts } from "../../src/replica/acceptor_host.ts";
import { LeaseClock } from "../../src/replica/lease_clock.ts";
import type { Clock } from "../../src/ports.ts";
import { RaisedMachine } from "../../src/replica/raised_machine.ts";
import { OWN_VERSION } from "../../src/version.ts";
import { StoreHealth } from "../../src/replica/store_health.ts";
import { fast, machine, rulesOf } from "../paxos/samples.ts";
import { ManualClock } from "../transport/manual_clock.ts";

type Given = Pick<AcceptorHostParts, "store"> & Partial<AcceptorHostParts> & { readonly clock?: Clock };

/** Member `a` of three unless `rules` says otherwise, which may vote. */
export function acceptorHost({ store, clock = new ManualClock(), ...more }: Given): AcceptorHost {
  return new AcceptorHost({
    rules: rulesOf("a", 3),
    store,
    leases: new LeaseClock(clock, machine),
    clock,
    modeOf: () => fast("c"),
    whyNot: () => null,
    digest: sha256Hex,
    heard: () => {},
    report: () => {},
    isListed: () => true,
    raised: new RaisedMachine(OWN_VERSION, () => {}),
    health: new StoreHealth(store, clock, () => {}),
    ...more,
  });
}

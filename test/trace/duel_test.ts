/**
 * Basic Paxos (PROTOCOL.md §1, flow 1): two proposers that duel. Every message takes one tick, and each is always one tick
 * behind the other: without waiting they forbid each other's ballots for ever, with a random wait one gets through.
 */
import { assert, assertEquals } from "@std/assert";
import { stepAcceptor } from "../../src/paxos/acceptor.ts";
import type { AcceptorRecord, Value } from "../../src/paxos/message.ts";
import { stepProposer } from "../../src/paxos/proposer.ts";
import { fastBallotOf, freshRecord, snapshotOf } from "../../src/paxos/record.ts";
import { initialProposer, type ProposerInput, type ProposerState } from "../../src/paxos/proposer_state.ts";
import { QuorumSystem } from "../../src/paxos/quorum.ts";
import type { Transport } from "../../src/ports.ts";
import { Timing } from "../../src/replica/timing.ts";
import { SEED, seeded } from "../replica/clocks.ts";
import { logMachine } from "../sim/explore/log_machine.ts";

const MEMBERS = ["a", "b", "c"];
const TICKS = 400;

type Duel = { readonly decided: ReadonlyMap<string, string>; readonly ballots: number };

/** `waitTicks(k)`: how long a proposer waits after its k-th refusal. */
function duel(waitTicks: (refusals: number) => number): Duel {
  const quorums = new QuorumSystem(MEMBERS);
  const fresh = freshRecord(logMachine, { kind: "prepare" });
  const records = new Map<string, AcceptorRecord>(MEMBERS.map((id) => [id, fresh]));
  const states = new Map<string, ProposerState>();
  const refusals = new Map<string, number>();
  const decided = new Map<string, string>();
  const due: { readonly tick: number; readonly run: () => void }[] = [];
  let ballots = 0;
  let now = 0;
  const after = (ticks: number, run: () => void) => void due.push({ tick: now + ticks, run });

  const feed = (me: string, input: ProposerInput) => {
    const value: Value = { id: `${me}/v/1`, proposer: me, commands: [] };
    const context = {
      me,
      key: "k",
      epoch: 0,
      quorums,
      machine: logMachine,
      opening: snapshotOf(fresh),
      fast: fastBallotOf(fresh),
      value,
    };
    const { state, out } = stepProposer(context, states.get(me) ?? initialProposer, input);
    states.set(me, state);
    for (const output of out) {
      if (output.type === "send") {
        const { to, message } = output;
        const ticks = to === me ? 0 : 1;
        after(ticks, () => {
          const step = stepAcceptor({ me: to, quorums, machine: logMachine }, records.get(to)!, message, {
            from: me,
            seenMs: {},
          });
          records.set(to, step.record);
          after(ticks, () => feed(me, { type: "reply", from: to, reply: step.reply }));
        });
      } else if (output.type === "retry") {
        const count = refusals.get(me) ?? 0;
        refusals.set(me, count + 1);
        // The first explicit ballot waits for nobody.
        after(count === 0 ? 0 : waitTicks(count), () => prepare(me));
      } else if (output.type === "decided") decided.set(me, output.value.id);
      else if (output.type === "ahead") decided.set(me, output.snapshot.decidedBy!.valueId);
    }
  };
  const prepare = (me: string) => {
    ballots++;
    feed(me, { type: "prepare", nonce: String(ballots) });
  };

  after(0, () => feed("a", { type: "start" }));
  after(1, () => feed("b", { type: "start" }));
  for (; now < TICKS && decided.size < 2; now++) {
    // In order of arrival; what a message causes in no time belongs to the same tick.
    for (let next = takeDue(due, now); next !== null; next = takeDue(due, now)) next();
  }
  return { decided, ballots };
}

function takeDue(due: { readonly tick: number; readonly run: () => void }[], now: number): (() => void) | null {
  const index = due.findIndex(({ tick }) => tick <= now);
  return index < 0 ? null : due.splice(index, 1)[0]!.run;
}

/** The shipped back-off, its randomness given, in ticks: a tick is half of the shortest round trip it knows. */
function backOffTicks(next: () => number): (refusals: number) => number {
  const silent: Transport = { send: () => Promise.reject(), rttMs: () => 0, close: () => {} };
  const timing = new Timing("a", new QuorumSystem(MEMBERS), silent, { next, id: () => "" });
  const tickMs = timing.rttMs() / 2;
  return (refusals) => Math.floor(timing.backOffMs(refusals) / tickMs);
}

Deno.test("flow 1: two proposers that duel without waiting decide nothing, ballot after ballot", () => {
  const { decided, ballots } = duel(backOffTicks(() => 0));
  assertEquals(decided.size, 0);
  assert(ballots > TICKS / 4, `${ballots} ballots in ${TICKS} ticks`);
});

Deno.test(`flow 1: with a random, growing wait both finish, on one value (from seed ${SEED})`, () => {
  for (let seed = SEED; seed < SEED + 200; seed++) {
    const { decided } = duel(backOffTicks(seeded(seed)));
    assertEquals(decided.size, 2, `seed ${seed}`);
    assertEquals(new Set(decided.values()).size, 1, `seed ${seed}`);
  }
});

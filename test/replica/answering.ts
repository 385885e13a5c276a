/** Peers that answer what they know of a member, and nothing else. */
import { assert } from "@std/assert";
import { type Mark, PeerError, type Transport } from "../../src/ports.ts";

/** What each peer answers: its mark of us, null for none, "silent" for no answer. */
export type Answers = Record<string, Mark | null | "silent">;

export function peersAnswering(answers: Answers): Transport {
  return {
    send: (to, message) => {
      const mark = answers[to];
      if (mark === "silent" || mark === undefined) return Promise.reject(new PeerError("silence"));
      assert(message.type === "marks");
      return Promise.resolve({ type: "marks", of: message.of, mark });
    },
    rttMs: () => 0,
    close: () => {},
  };
}

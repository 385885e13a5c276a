/**
 * Hashes of states (PROTOCOL.md §3). Before version 3 a state is hashed whole each time. From then on each state bears a hash that
 * is made of the one before, of the value that was decided and of what its commands came to; at every FOLD_INSTANCES-th instance
 * of the whole state too, so that nodes whose states have become different for any other reason are found out then.
 */
import { FOLD_INSTANCES } from "../limits.ts";
import type { Value } from "../paxos/message.ts";
import type { Digest } from "./dedup.ts";
import type { Result } from "./op.ts";
import { isKept, writeResult } from "./result_code.ts";
import type { KeyState } from "./state.ts";

const HASH_HEX = 32;

type Step = {
  readonly before: KeyState;
  readonly instance: number;
  readonly value: Value;
  readonly results: readonly Result[];
};

/** 32 hex digits, the same on every node that has decided the same. */
export function hashOf(digest: Digest, state: KeyState): string {
  return isChained(state) ? state.chain : wholeHash(digest, state);
}

/** @param state as the step has left it, without its place in the chain, which it then bears */
export function link(digest: Digest, state: KeyState, { before, instance, value, results }: Step): KeyState {
  if (state.version < 3) return state;
  const parts = [hashOf(digest, before), value.id, ...results.map(textOf)];
  if (instance % FOLD_INSTANCES === 0) parts.push(JSON.stringify(state));
  return { ...state, chain: digest(parts.join("\n")).slice(0, HASH_HEX) };
}

/** 32 hex digits; null: `hashOf` is of all of it. */
export function contentHashOf(digest: Digest, state: KeyState): string | null {
  return isChained(state) ? wholeHash(digest, state) : null;
}

/** A state that is asked about again and again is hashed once. */
const wholeHashes = new WeakMap<KeyState, string>();

/** What was read from a disk or a peer may be no state at all. */
function isChained(state: KeyState): state is KeyState & { readonly chain: string } {
  return state.version >= 3 && typeof state.chain === "string";
}

function wholeHash(digest: Digest, state: KeyState): string {
  const known = wholeHashes.get(state) ?? digest(JSON.stringify(state)).slice(0, HASH_HEX);
  wholeHashes.set(state, known);
  return known;
}

function textOf(result: Result): string {
  return isKept(result) ? writeResult(result) : result.outcome;
}

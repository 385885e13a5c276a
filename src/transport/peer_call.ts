/** One POST to one peer: signed, sent, and its answer read within limits. */
import { BODY_MAX_BYTES, PAXOS_BODY_MAX_BYTES } from "../limits.ts";
import type { NodeId } from "../paxos/ballot.ts";
import { type Clock, PeerError } from "../ports.ts";
import {
  readWire,
  speaks,
  VERSION_HEADER,
  WIRE_ADVICE,
  WIRE_HEADER,
  WIRE_OF_VERSIONS,
  wiresSaid,
  wireWords,
} from "../version.ts";
import { causeOfCode, causeOfFailure, textOf } from "./peer_cause.ts";
import type { PeerVersions } from "./peer_versions.ts";
import { decodeResponse, type PeerResponseBody } from "./wire.ts";

/** What is signed; it adds sender and cluster, which it knows (auth/peer_mac.ts). */
export type UnsignedRequest = {
  readonly peer: NodeId;
  /** `Quorate-To` as the peer last told it, null before it told any. */
  readonly to: string | null;
  readonly method: string;
  readonly path: string;
  readonly count: number;
  readonly body: string | Uint8Array;
  readonly wire: number;
};

/** `peerKeys` of auth/peer_mac.ts. */
export type PeerKeys = {
  /** Headers that authenticate a request. */
  sign(request: UnsignedRequest): Readonly<Record<string, string>>;
  /** Whether these headers and this body are the answer, of who holds the secret, to the request that has those headers. */
  isAnswer(request: Readonly<Record<string, string>>, answer: Headers, body: string): boolean;
  /** The MACs of the frames that the acceptor of a connection sends, which this node dialled. */
  frames(line: { readonly acceptor: NodeId; readonly nonce: string; readonly ticket: string }): Frames;
};

/** One way of one connection, in order. */
export type Frames = {
  /** A frame that bears this text. */
  seal(text: string): string;
  /** The text of the next frame; null: it is not the one that was sent next. */
  open(frame: string): string | null;
};
/** The global `fetch`, as far as it is used. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export type CallPorts = {
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly keys: PeerKeys;
  readonly versions: PeerVersions;
};

export type PeerAnswer = { readonly text: string; readonly rttMs: number };

/** What is known of a peer between calls. */
export type Acquaintance = { readonly id: NodeId; readonly url: string; to: string | null; count: number };

const TO_MAX_CHARS = 512;

/**
 * The text of the answer and how long it took. Rejects with PeerError, which says why; its `cause` is `{status, code}` if the
 * peer answered and refused. Where the peer speaks less than it did, the call is lost, and the next is in its wire.
 *
 * @param headers more of them, which nothing vouches for
 */
export async function callPeer(
  ports: CallPorts,
  peer: Acquaintance,
  path: string,
  body: string,
  signal: AbortSignal,
  headers: Readonly<Record<string, string>> = {},
): Promise<PeerAnswer> {
  const bytes = new TextEncoder().encode(body);
  try {
    for (let retried = false;; retried = true) {
      const to = peer.to;
      const startedAt = ports.clock.now();
      const wire = ports.versions.wireTo(peer.id);
      const signed = ports.keys.sign({
        peer: peer.id,
        to,
        method: "POST",
        path,
        count: ++peer.count,
        body: bytes,
        wire,
      });
      const response = await ports.fetch(peer.url + path, {
        method: "POST",
        headers: { ...headers, ...signed, "content-type": "application/json" },
        body: bytes,
        // A signed request must not be carried to where a redirect points.
        redirect: "manual",
        signal,
      });
      const said = { wire: response.headers.get(WIRE_HEADER), version: response.headers.get(VERSION_HEADER) };
      const isOther = !speaks(ports.versions.own.wires, readWire(said.wire));
      if (response.status === 200) {
        if (isOther) {
          await response.body?.cancel();
          throw otherWire(ports.versions, peer.id, wire, said, 200);
        }
        const text = await readText(response, PAXOS_BODY_MAX_BYTES);
        if (!ports.keys.isAnswer(signed, response.headers, text)) {
          throw new PeerError(`${peer.id}'s answer is not under the MAC of its request`, { why: "failed" });
        }
        ports.versions.note(peer.id, said, wire >= WIRE_OF_VERSIONS);
        return { text, rttMs: ports.clock.now() - startedAt };
      }
      const code = await problemCode(response);
      // To a node of 0.1.0 a request of a later wire is unsigned. Whoever else answers between the two names no wire either.
      if (code === "wire-mismatch" || (isOther && code === "peer-unauthenticated")) {
        throw otherWire(ports.versions, peer.id, wire, said, response.status);
      }
      const told = code === "peer-hello" ? response.headers.get("quorate-to") : null;
      // Once only: a peer that never likes what it told itself must not keep this going.
      if (retried || told === null || told === to || !isFor(peer.id, told)) {
        throw new PeerError(`${peer.id} answered ${response.status} ${code}`.trimEnd(), {
          cause: { status: response.status, code },
          why: causeOfCode(code),
        });
      }
      peer.to = told;
    }
  } catch (error) {
    if (error instanceof PeerError) throw error;
    throw unusable(peer.id, error);
  }
}

/** What the text of an answer says. Throws PeerError where it says nothing. */
export function bodyOf(peer: NodeId, text: string): PeerResponseBody {
  try {
    return decodeResponse(text);
  } catch (error) {
    throw unusable(peer, error);
  }
}

function unusable(peer: NodeId, error: unknown): PeerError {
  const why = causeOfFailure(error);
  return new PeerError(`${peer} gave no usable answer: ${textOf(error)}`, { cause: error, why });
}

/** What it says goes unproven: it can make this node try another of its own wires, and no more. */
function otherWire(
  versions: PeerVersions,
  peer: NodeId,
  sentIn: number,
  said: { readonly wire: string | null; readonly version: string | null },
  status: number,
): PeerError {
  versions.note(peer, said, false);
  const cause = { status, code: "wire-mismatch" };
  const theirs = wiresSaid(said);
  const inAnother = versions.wireTo(peer);
  if (theirs !== null && speaks(theirs, inAnother) && inAnother !== sentIn) {
    return new PeerError(`${peer} speaks ${wireWords(theirs)}: what is sent from now on is in wire ${inAnother}`, {
      cause,
    });
  }
  const words = theirs === null ? "a wire without a proper number" : wireWords(theirs);
  const what = `${peer} speaks ${words}, this node ${wireWords(versions.own.wires)}: ${WIRE_ADVICE}`;
  return new PeerError(what, { cause, why: "other-wire" });
}

/** An unsigned word of the network: it can make this node sign for another boot of that peer, for no other node. */
function isFor(peer: NodeId, to: string): boolean {
  return to.startsWith(`${peer}.`) && to.length <= TO_MAX_CHARS;
}

/** `code` of a problem document, `""` if the body is none. */
async function problemCode(response: Response): Promise<string> {
  const text = await readText(response, BODY_MAX_BYTES);
  try {
    const { code } = JSON.parse(text);
    return typeof code === "string" ? code.slice(0, 64) : "";
  } catch {
    return "";
  }
}

/** The body as text; one above `maxBytes` is not read to its end. */
async function readText(response: Response, maxBytes: number): Promise<string> {
  if (response.body === null) return "";
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  let bytes = 0;
  // Leaving this loop early cancels the body, which frees the connection.
  for await (const chunk of response.body) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new PeerError(`the answer is above ${maxBytes} bytes`, { why: "failed" });
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

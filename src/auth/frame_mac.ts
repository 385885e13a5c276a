/**
 * MACs over the frames of one connection between two nodes, one way: HMAC-SHA256 of the frame's number, from 1, and its text,
 * under a key that the peer secret makes of both nodes and a fresh number of each. So a frame that is altered, repeated, left
 * out, out of order, or of another connection has a wrong one.
 */
import { equalDigests, hmacSha256Hex, hmacSha256HexOf } from "./digest.ts";

export type LineNames = {
  readonly cluster: string;
  /** Who asked for the connection, and receives on it. */
  readonly dialler: string;
  readonly acceptor: string;
  /** The dialler's fresh number. */
  readonly nonce: string;
  /** The acceptor's. */
  readonly ticket: string;
};

const MAC_CHARS = 64;

export class FrameMac {
  readonly #hmac: (text: string) => string;
  #count = 0;

  constructor({ cluster, dialler, acceptor, nonce, ticket }: LineNames, secret: string) {
    // As a JSON list, parts do not run into each other.
    const names = JSON.stringify(["quorate-line-v1", cluster, dialler, acceptor, nonce, ticket]);
    this.#hmac = hmacSha256HexOf(hmacSha256Hex(secret, names));
  }

  /** The next frame: 64 hex digits of its MAC, and the text. */
  seal(text: string): string {
    return this.#mac(text) + text;
  }

  /** The text of the next frame; null: it is not the one that was sealed next. */
  open(frame: string): string | null {
    const text = frame.slice(MAC_CHARS);
    return equalDigests(frame.slice(0, MAC_CHARS), this.#mac(text)) ? text : null;
  }

  #mac(text: string): string {
    return this.#hmac(`${++this.#count}\n${text}`);
  }
}

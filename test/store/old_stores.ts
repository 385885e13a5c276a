/** The stores in fixtures/, which a version before this one wrote (make_old_stores.ts), and what clients were told of them. */
import { gunzipSync } from "node:zlib";

export type Write = {
  readonly method: string;
  readonly path: string;
  readonly body: string | null;
  readonly key: string;
};
export type Answer = { readonly status: number; readonly body: Readonly<Record<string, unknown>> };
export type Told = { readonly write: Write; readonly answer: Answer };

export type Expected = {
  /** Held, with a full history and window. a knows of the last decision, the take that is held; b and c have voted for it. */
  readonly lock: string;
  /** a and b know of the last decision, `secondPut`; c has not even voted for it. */
  readonly register: string;
  /** Held by the session; all members stand at one instance. */
  readonly even: string;
  /** c knows of the last decision, `kept`; a and b have voted for it. */
  readonly session: string;
  /** In the register. */
  readonly value: string;
  /** Each with its Idempotency-Key, and what it was answered. */
  readonly repeats: Readonly<
    Record<"held" | "released" | "evenTaken" | "firstPut" | "secondPut" | "kept", Told>
  >;
};

const FIXTURES = new URL("./fixtures/", import.meta.url);

export async function expectedOfOldStores(): Promise<Expected> {
  return JSON.parse(await Deno.readTextFile(new URL("expected.json", FIXTURES)));
}

/** Puts a copy of the store of `id` there. */
export async function unpackOldStore(id: string, path: string): Promise<void> {
  const bytes = gunzipSync(await Deno.readFile(new URL(`${id}.sqlite.gz`, FIXTURES)));
  await Deno.writeFile(path, new Uint8Array(bytes));
}

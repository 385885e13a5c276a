/**
 * Checks of parsed JSON for wire.ts. Each returns what it was given, typed, or throws QuorateError `invalid-request`
 * whose `field` is the path of what is wrong, as in `messages[3].value.id`. Nothing is copied or repaired: what passes
 * has the bytes its sender meant.
 */
import { Buffer } from "node:buffer";
import { QuorateError } from "../errors.ts";

export type Fields = Readonly<Record<string, unknown>>;

export type Of<U extends { type: string }, T extends U["type"]> = Required<Extract<U, { type: T }>>;
/** `isLight`: what it is a part of weighs no more than a value may. */
type Check = (fields: Fields, at: string, isLight: boolean) => void;
/** By the type of what is checked, the fields it may have, and what they must be. */
export type Checks<U extends { type: string }> = { readonly [T in U["type"]]: readonly [ReadonlySet<string>, Check] };

/** Depth left to a part the roles do not look into, so that one that travelled in a vote also travels in a report. */
const OPAQUE_MAX_DEPTH = 16;

export function refuse(field: string, what: string): never {
  throw new QuorateError("invalid-request", `${field} ${what}`, { field });
}

/** Throws `too-large` above `maxBytes`. However deep it is nested: the runtime's parser does not recurse, nor do these checks. */
export function parseJson(text: string, maxBytes: number): unknown {
  if (exceeds(text, maxBytes)) throw new QuorateError("too-large", `the body is above ${maxBytes} bytes`);
  try {
    return JSON.parse(text);
  } catch {
    refuse("body", "is not JSON");
  }
}

/**
 * The field names of a shape. The argument must name every field of T, so a field added to the type and
 * forgotten here does not compile.
 */
export function fieldsOf<T>(names: Record<keyof T, 1>): ReadonlySet<string> {
  return new Set(Object.keys(names));
}

/** An object with no field beyond `known`. That the required ones are there, the check of each finds. */
export function record(value: unknown, field: string, known: ReadonlySet<string>): Fields {
  const fields = anyRecord(value, field);
  for (const name in fields) if (!known.has(name)) refuse(`${field}.${name}`, "is not a known field");
  return fields;
}

export function anyRecord(value: unknown, field: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) refuse(field, "is not an object");
  return value as Fields;
}

/** Text of `min` to `max` UTF-16 units. */
export function text(value: unknown, field: string, min: number, max: number): string {
  if (typeof value !== "string") refuse(field, "is not a text");
  if (value.length < min || value.length > max) refuse(field, `is not ${min} to ${max} characters long`);
  // A lone surrogate has no UTF-8: two different texts would be stored and hashed as one.
  if (!value.isWellFormed()) refuse(field, "holds half a surrogate pair");
  return value;
}

/** A safe integer, `min` or more. */
export function integer(value: unknown, field: string, min: number): number {
  if (!Number.isSafeInteger(value) || (value as number) < min) refuse(field, `is not an integer from ${min}`);
  return value as number;
}

/** A finite duration of 0 or more; fractions are fine. */
export function duration(value: unknown, field: string): number {
  if (typeof value !== "number" || !Number.isFinite(value) || value < 0) refuse(field, "is not a duration in ms");
  return value;
}

export function oneOf<T extends string>(value: unknown, field: string, known: readonly T[]): T {
  if (!(known as readonly unknown[]).includes(value)) refuse(field, `is none of ${known.join(", ")}`);
  return value as T;
}

export function list(value: unknown, field: string, max: number): readonly unknown[] {
  if (!Array.isArray(value)) refuse(field, "is not an array");
  if (value.length > max) refuse(field, `has more than ${max} items`);
  return value;
}

export function distinct(items: readonly string[], field: string): void {
  // A handful, so that a set would cost more.
  for (let i = 1; i < items.length; i++) if (items.indexOf(items[i]!) !== i) refuse(field, "names one node twice");
}

/** Refuses what weighs more than `maxBytes` as JSON in UTF-8. */
export function weigh(value: unknown, field: string, maxBytes: number): void {
  if (exceeds(JSON.stringify(value), maxBytes)) refuse(field, `is above ${maxBytes} bytes`);
}

/**
 * Refuses, in a part that is not looked into, what would change when written and read again: 1e400 is read as Infinity
 * and written as null, −0 as 0, half a surrogate pair as U+FFFD, and `__proto__` is lost when copied. Nodes would hash
 * different states.
 */
export function opaque(value: unknown, field: string): void {
  const fault = faultIn(value, OPAQUE_MAX_DEPTH);
  if (fault !== null) refuse(`${field}${fault.below}`, fault.what);
}

/** `below` is put together on the way back: a path for each of the thousand values of a good state would cost most here. */
type Fault = { readonly below: string; readonly what: string };

/** The first that is wrong; null: nothing. */
function faultIn(value: unknown, depth: number): Fault | null {
  switch (typeof value) {
    case "string":
      return value.isWellFormed() ? null : { below: "", what: "holds half a surrogate pair" };
    case "number":
      if (Number.isFinite(value) && !Object.is(value, -0)) return null;
      return { below: "", what: "is not a number JSON can carry" };
    case "object": {
      if (value === null) return null;
      if (depth === 0) return { below: "", what: "is nested too deep" };
      if (Array.isArray(value)) {
        for (let i = 0; i < value.length; i++) {
          const fault = faultIn(value[i], depth - 1);
          if (fault !== null) return { ...fault, below: `.${i}${fault.below}` };
        }
        return null;
      }
      for (const name in value) {
        if (name === "__proto__" || !name.isWellFormed()) return { below: `.${name}`, what: "is not a field name" };
        const fault = faultIn((value as Fields)[name], depth - 1);
        if (fault !== null) return { ...fault, below: `.${name}${fault.below}` };
      }
    }
  }
  return null;
}

/** Whether `text` is above `maxBytes` in UTF-8; counts only when its length leaves it open. */
export function exceeds(text: string, maxBytes: number): boolean {
  if (text.length > maxBytes) return true;
  return text.length * 3 > maxBytes && utf8Bytes(text) > maxBytes;
}

/** Not counted here: a loop over a text takes a hundred times as long as the runtime, which keeps its units together. */
export function utf8Bytes(text: string): number {
  return Buffer.byteLength(text);
}

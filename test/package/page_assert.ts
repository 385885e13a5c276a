/** The part of node:assert/strict that the contract of the client uses, for a page. */

class AssertionError extends Error {
  override name = "AssertionError";
}

function ok(value: unknown, message = "is not true"): void {
  if (!value) throw new AssertionError(message);
}

function equal(actual: unknown, expected: unknown): void {
  ok(Object.is(actual, expected), `${shown(actual)} is not ${shown(expected)}`);
}

function notEqual(actual: unknown, expected: unknown): void {
  ok(!Object.is(actual, expected), `${shown(actual)} was not expected`);
}

function deepEqual(actual: unknown, expected: unknown): void {
  ok(isSame(actual, expected), `${shown(actual)} is not ${shown(expected)}`);
}

type Expected = (new (...args: never[]) => unknown) | Readonly<Record<string, unknown>>;

async function rejects(work: Promise<unknown>, expected?: Expected): Promise<void> {
  check(await work.then(() => NONE, (error) => error), expected);
}

function throws(run: () => unknown, expected?: Expected): void {
  let thrown: unknown = NONE;
  try {
    run();
  } catch (error) {
    thrown = error;
  }
  check(thrown, expected);
}

const NONE = Symbol("nothing was thrown");

function check(thrown: unknown, expected: Expected | undefined): void {
  ok(thrown !== NONE, "nothing was thrown");
  if (typeof expected === "function") return ok(thrown instanceof expected, `threw ${shown(thrown)}`);
  for (const [name, value] of Object.entries(expected ?? {})) equal((thrown as Record<string, unknown>)[name], value);
}

function isSame(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  const [left, right] = [Object.entries(a), Object.entries(b)];
  return left.length === right.length &&
    left.every(([name, value]) => Object.hasOwn(b, name) && isSame(value, (b as Record<string, unknown>)[name]));
}

function shown(value: unknown): string {
  const text = JSON.stringify(value, (_, part) => typeof part === "bigint" ? `${part}n` : part);
  return text ?? String(value);
}

export default { ok, equal, notEqual, deepEqual, rejects, throws };

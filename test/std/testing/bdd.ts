/** The part of @std/testing/bdd that this project uses, over node:test. */
export { after as afterAll, afterEach, before as beforeAll, beforeEach, describe, it } from "node:test";

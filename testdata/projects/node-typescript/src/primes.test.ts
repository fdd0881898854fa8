import { primes } from "./primes";

declare function require(name: string): any;
const { test } = require("node:test");
const assert = require("node:assert");

test("the first primes", () => assert.deepEqual(primes(12), [2, 3, 5, 7, 11]));

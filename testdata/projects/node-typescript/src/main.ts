import { primes } from "./primes";

declare const process: { argv: string[] };
declare const console: { log(text: string): void };
declare function require(name: string): any;

const ms = require("ms");
const limit = Number(process.argv[2] ?? 10);
console.log(`${primes(limit).join(" ")} below ${limit}, asked every ${ms(60000, { long: true })}`);

export function primes(limit: number): number[] {
  const found: number[] = [];
  for (let candidate = 2; candidate < limit; candidate++) {
    if (found.every((prime) => candidate % prime !== 0)) found.push(candidate);
  }
  return found;
}

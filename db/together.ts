/**
 * Waits for statements of one transaction that do not need each other's results: PostgreSQL gets them in one round trip. After a
 * failure it still waits for all, so that none of them runs once the transaction is rolled back.
 *
 * @throws the first failure in the order of `statements`
 */
export async function together<T extends readonly Promise<unknown>[]>(
  ...statements: T
): Promise<{ -readonly [Place in keyof T]: Awaited<T[Place]> }> {
  await Promise.allSettled(statements);
  return Promise.all(statements) as never;
}

declare module "mailauth/lib/tools.js" {
  /** Looks a DKIM record up and reads it. @throws an error of the resolver, or one that names the record's fault */
  export function getPublicKey(
    type: "DKIM",
    name: string,
    minBitLength: number,
    resolver: (name: string, type: string) => Promise<string[][]>,
  ): Promise<{ publicKey: string; testing: boolean }>;
}

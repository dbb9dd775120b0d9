/** People whose mailboxes were imported log in with the password that they had. */
import { describe, expect, test } from "vitest";
import { type Imported, importSamples, passwords } from "./imported.ts";
import { mailDaemons } from "./lab.ts";
import { canLogin } from "./mailbox.ts";

/** The addresses that can log in with the password behind their hash. */
export async function whoLogsIn({ lab }: Imported, addresses: readonly string[]): Promise<string[]> {
  const able = await Promise.all(
    addresses.map((address) => canLogin(lab, { address, password: passwords.get(address) ?? "" })),
  );
  return addresses.filter((_, at) => able[at]);
}

describe.skipIf(!mailDaemons().available)("the people of the samples", () => {
  test("log in with their passwords, unless the import says that they need a new one", async () => {
    const imported = await importSamples();
    const known = imported.mailboxes.filter(({ name }) => passwords.has(name));
    expect(known.length).toBeGreaterThan(35);
    const inactive = known.filter(({ reason }) => reason?.includes("inactive")).map(({ name }) => name);
    expect(inactive).toEqual(["dirk@bakkerij.example", "sjaan@fiets.example"]);
    const taken = known.filter(({ outcome }) => outcome === "taken").map(({ name }) => name);
    const active = taken.filter((name) => !inactive.includes(name));
    const names = known.map(({ name }) => name);
    expect(await whoLogsIn(imported, names)).toEqual(active);
    // A mailbox of the same kind refuses another password.
    const [someone = ""] = taken;
    expect(await canLogin(imported.lab, { address: someone, password: "wrong" })).toBe(false);

    for (const name of inactive)
      expect(await imported.shell("user", "restore", name)).toMatchObject({ code: 0 });
    await imported.sync();
    expect(await whoLogsIn(imported, inactive)).toEqual(inactive);
  });
});

import { afterAll, beforeAll } from "vitest";
import { type MailLab, type MailLabOptions, startMailLab } from "./lab.ts";
import { USERS } from "./people.ts";
import { TestNode } from "./replica.ts";

/** The daemons with the configuration in deploy/, and the folders of their node, for all tests of a group. */
export function deployedDaemons(options: Partial<MailLabOptions> = {}): { lab: MailLab; folders: TestNode } {
  const parts = {} as { lab: MailLab; folders: TestNode };
  beforeAll(async () => {
    parts.folders = await TestNode.serving(USERS);
    const { out, mailRoot } = parts.folders;
    parts.lab = await startMailLab({ out, mailRoot, ...options });
  });
  afterAll(async () => {
    await parts.lab?.stop();
    await parts.folders?.remove();
  });
  return parts;
}

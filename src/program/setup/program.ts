import { existsSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { ConfigurationError } from "../../machine/faults.ts";

/** The program that becomes the server. */
export interface Program {
  /** The checkout or the npm package. */
  folder: string;
  /** What /usr/local/bin/m25-mail leads to. */
  command: string;
}

/** The program that this file belongs to. */
export function findProgram(): Program {
  let folder = realpathSync(import.meta.dirname);
  while (!existsSync(join(folder, "deploy/m25-mail.service"))) {
    if (folder === "/") throw new ConfigurationError("the folder deploy is missing beside the program");
    folder = dirname(folder);
  }
  const script = join(folder, "deploy/m25-mail");
  return { folder, command: existsSync(script) ? script : join(folder, "dist/m25-mail.js") };
}

/** @throws ConfigurationError for a folder that the service cannot see */
export function refuseHiddenFolder({ folder }: Program): void {
  if (!/^\/(home|root)\//.test(folder)) return;
  throw new ConfigurationError(
    `the service cannot see /home and /root: move ${folder}, for example to /opt/m25-mail, and run setup there`,
  );
}

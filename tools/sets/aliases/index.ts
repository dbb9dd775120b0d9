import type { Tool } from "../../call/tool.ts";
import { listAliases } from "./list-aliases.ts";
import { removeAlias } from "./remove-alias.ts";
import { setAlias } from "./set-alias.ts";
import { setDomainAlias } from "./set-domain-alias.ts";

/** Addresses whose mail goes to others. */
export const aliases: readonly Tool[] = [setAlias, removeAlias, listAliases, setDomainAlias];

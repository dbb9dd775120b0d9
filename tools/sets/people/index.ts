import type { Tool } from "../../call/tool.ts";
import { createPasswordLink } from "./create-password-link.ts";
import { inviteUser } from "./invite-user.ts";
import { setUser } from "./set-user.ts";

/** Logins, and passwords that only their owners know. */
export const people: readonly Tool[] = [inviteUser, createPasswordLink, setUser];

import type { Store } from "../../../db/store.ts";
import type { Runtime } from "../../../tools/call/call.ts";
import type { OperatorLogin } from "../../auth/operator-login.ts";
import type { Log } from "../../log/log.ts";

/** The path of each view. */
export const views = {
  overview: "/",
  nodes: "/page/nodes",
  domains: "/page/domains",
  changes: "/page/changes",
  access: "/page/access",
  accept: "/page/accept",
  forward: "/page/forward",
  "end-grant": "/page/end-grant",
} as const;

/** The path of each action's form. */
export const actions = {
  "sign-in": "/page/sign-in",
  "sign-out": "/page/sign-out",
  accept: views.accept,
  forward: views.forward,
  "end-grant": views["end-grant"],
} as const;

export type ViewName = keyof typeof views;
export type ActionName = keyof typeof actions;

/** The parts of the server that the page uses. */
export interface PageParts {
  runtime: Runtime;
  store: Store;
  login: OperatorLogin;
  log: Log;
  /** True if the server offers reading operations only. */
  isReadOnly: boolean;
  hasTls: boolean;
  publicUrl: string | undefined;
}

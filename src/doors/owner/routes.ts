/** The page's own path, and those of its forms below it. */
export const ACCOUNT = "/owner/";

export const accountActions = [
  "sign-in",
  "sign-out",
  "password",
  "app-password",
  "end-app-password",
] as const;

export type AccountAction = (typeof accountActions)[number];

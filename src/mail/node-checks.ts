/** The checks of `m25-mail-node check`. A report names those that are not ok. */
export const checkNames = [
  "services",
  "replica",
  "port_25",
  "port_465",
  "port_587",
  "port_993",
  "port_143",
  "port_4190",
  "certificate",
  "disk",
  "queue",
  "clock",
  "dns",
  "from_outside",
  "mail_out",
  "blocklist",
] as const;

export type CheckName = (typeof checkNames)[number];
